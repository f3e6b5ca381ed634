"""How large a pixel is by the header of a DICOM object, and where on the screen it says that tissue is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from bus_monai.geometry.box import Box
from bus_monai.io.image import is_pixel_size

CENTIMETERS_CODE = 3
"""Code of the physical units of an ultrasound region, DICOM PS3.3 C.8.5.5.1.15."""
TWO_DIMENSIONAL_CODE = 1
"""Code of the spatial format of a B-mode or color region, DICOM PS3.3 C.8.5.5.1.1."""
SAME_SPACING = 0.01
"""Share by which two spacings differ and are one that was rounded."""

Spacing = tuple[float, float]
CalibratedPart = tuple[Box, Spacing]


@dataclass(frozen=True)
class Calibration:
    """The size of the pixels of a frame.

    Args:
        spacing_mm: of rows and columns, ``None`` where not known or not the same everywhere.
        regions: boxes of calibrated parts and the spacing there, where they differ.
        aspect: height of a pixel by its width, where nothing more is known and it is not 1.
        notes: what is wrong with what the header says.
    """

    spacing_mm: Spacing | None
    regions: tuple[CalibratedPart, ...] = ()
    aspect: float | None = None
    notes: tuple[str, ...] = ()


def calibration(header: Dataset, frame: int = 0) -> Calibration:
    """Return the size of the pixels of a frame: it is never invented, and none that ultrasound cannot have.

    Two-dimensional ultrasound regions calibrated in centimeters count; else ``PixelSpacing``, of enhanced objects that
    of the frame's functional groups; else the aspect of the pixels.
    """
    said = list(_regions(header))
    regions = [(box, spacing) for box, spacing in said if is_pixel_size(*spacing)]
    if regions:
        first = regions[0][1]
        if all(np.allclose(spacing, first, rtol=SAME_SPACING) for _, spacing in regions):
            return Calibration(first)
        note = "regions of several calibrations: a lesion is measured by that of its region"
        return Calibration(None, tuple(regions), notes=(note,))
    found = list(_spacings(header, frame))
    for text, spacing in found:
        if spacing is not None and is_pixel_size(*spacing):
            return Calibration(spacing)
        return Calibration(None, notes=(f"PixelSpacing is '{text}': lengths are in pixels",))
    if said:
        rows, columns = said[0][1]
        note = f"a pixel of {rows:g} x {columns:g} mm by its region is none: lengths are in pixels"
        return Calibration(None, notes=(note,))
    aspect = _aspect(header)
    if aspect is None:
        return Calibration(None)
    note = "the pixels are not square (PixelAspectRatio): lengths are in pixels of the same area"
    return Calibration(None, aspect=aspect, notes=(note,))


def _regions(header: Dataset) -> Iterator[CalibratedPart]:
    for region in _items(header, "SequenceOfUltrasoundRegions"):
        values = {word: _numbers(region, word) for word in _WORDS}
        if values["RegionSpatialFormat"] != [TWO_DIMENSIONAL_CODE] or any(
            values[word] != [CENTIMETERS_CODE] for word in ("PhysicalUnitsXDirection", "PhysicalUnitsYDirection")
        ):
            continue
        spacing = _spacing([10 * abs(n) for word in ("PhysicalDeltaY", "PhysicalDeltaX") for n in values[word]])
        if spacing is not None:
            left, top, right, bottom = (int((values[word] or [-1])[0]) for word in _WORDS[-4:])
            yield Box(top, left, bottom + 1, right + 1), spacing


_WORDS = (
    "RegionSpatialFormat",
    "PhysicalUnitsXDirection",
    "PhysicalUnitsYDirection",
    "PhysicalDeltaX",
    "PhysicalDeltaY",
    "RegionLocationMinX0",
    "RegionLocationMinY0",
    "RegionLocationMaxX1",
    "RegionLocationMaxY1",
)


def functional_groups(header: Dataset, frame: int) -> Iterator[Dataset]:
    """Yield the groups of a frame of an enhanced object, its own before the shared ones; then the header itself."""
    own = _items(header, "PerFrameFunctionalGroupsSequence")
    if 0 <= frame < len(own):
        yield own[frame]
    yield from _items(header, "SharedFunctionalGroupsSequence")[:1]
    yield header


def _spacings(header: Dataset, frame: int) -> Iterator[tuple[str, Spacing | None]]:
    for group in functional_groups(header, frame):
        for holder in (*_items(group, "PixelMeasuresSequence")[:1], group):
            text = _text(holder, "PixelSpacing")
            if text:
                yield text, _spacing(_numbers(holder, "PixelSpacing"))


def _aspect(header: Dataset) -> float | None:
    ratio = _spacing(_numbers(header, "PixelAspectRatio"))
    if ratio is None or np.isclose(ratio[0], ratio[1], rtol=SAME_SPACING):
        return None
    return ratio[0] / ratio[1]


def _spacing(values: list[float]) -> Spacing | None:
    if len(values) != 2 or not np.isfinite(values).all() or min(values) <= 0:
        return None
    return values[0], values[1]


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    try:
        return [item for item in dataset.get(keyword) or () if isinstance(item, Dataset)]
    except Exception:  # values are decoded when they are asked for
        return []


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "").strip("[] ")
    except Exception:  # values are decoded when they are asked for
        return "no number"


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return the numbers of an element, none where it is missing or one of them is no number."""
    try:
        value: Any = dataset.get(keyword)
        if value is None:
            return []
        return [
            float(part) for part in (value if hasattr(value, "__iter__") and not isinstance(value, str) else [value])
        ]
    except Exception:  # values are decoded when they are asked for
        return []


TISSUE_CODES = (1, 2)
"""Codes of the data types tissue and color flow, DICOM PS3.3 C.8.5.5.1.2."""


MAX_INSIDE_SHARE = 0.8
"""Share of a region that lies in another, from which on it is a part of that one, as a window of color flow is."""


def tissue_boxes(header: Dataset) -> tuple[Box, ...]:
    """Return the box of each image; nothing where the header names none, or one off the screen.

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
    return tuple(box for box in kept if not any(_is_part(box, other) for other in kept))


def _box(region: Dataset) -> Box:
    left, top = int(region.RegionLocationMinX0), int(region.RegionLocationMinY0)
    return Box(top, left, int(region.RegionLocationMaxY1) + 1, int(region.RegionLocationMaxX1) + 1)


def _is_part(box: Box, other: Box) -> bool:
    return box.area < other.area and box.intersection(other).area >= MAX_INSIDE_SHARE * box.area
