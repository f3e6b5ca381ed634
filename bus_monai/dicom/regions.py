"""Where a DICOM header says that images of tissue lie on the screen."""

from __future__ import annotations

from pydicom.dataset import Dataset

from bus_monai.geometry.box import Box

TWO_DIMENSIONAL_CODE = 1
"""Code of the spatial format of a B-mode or color region, DICOM PS3.3 C.8.5.5.1.1."""
TISSUE_CODES = (1, 2)
"""Codes of the data types tissue and color flow, DICOM PS3.3 C.8.5.5.1.2."""
MAX_INSIDE_SHARE = 0.8
"""Share of a region that lies in another, from which on it is a part of that one, as a window of color flow is."""


def tissue_boxes(header: Dataset) -> tuple[tuple[int, int, int, int], ...]:
    """Return top, left, bottom and right of each image; nothing where the header names none, or one off the screen.

    What does not show tissue in two dimensions (M-mode, spectra, curves, bars) is none, nor is a part of another one.
    """
    try:
        size = int(header.Rows), int(header.Columns)
        boxes = {
            _box(region)
            for region in header.get("SequenceOfUltrasoundRegions") or ()
            if region.get("RegionSpatialFormat") == TWO_DIMENSIONAL_CODE
            and region.get("RegionDataType") in TISSUE_CODES
        }
    except (AttributeError, TypeError, ValueError):
        return ()
    # the last row and column belong to a region, but many scanners write the first outside
    inside = {box: box.intersection(Box.of_image(size)) for box in boxes}
    if any(max(box.bottom - kept.bottom, box.right - kept.right) > 1 or kept.area == 0 for box, kept in inside.items()):
        return ()
    kept = sorted(set(inside.values()))
    return tuple(box.sides for box in kept if not any(_is_part(box, other) for other in kept))


def _box(region: Dataset) -> Box:
    left, top = int(region.RegionLocationMinX0), int(region.RegionLocationMinY0)
    return Box(top, left, int(region.RegionLocationMaxY1) + 1, int(region.RegionLocationMaxX1) + 1)


def _is_part(box: Box, other: Box) -> bool:
    return box.area < other.area and box.intersection(other).area >= MAX_INSIDE_SHARE * box.area
