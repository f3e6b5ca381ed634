"""Frames of DICOM ultrasound as grey values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import SegmentationStorage

from bus_monai.dicom.jpeg_luma import has_jpeg_luma, iterate_luma, read_luma
from bus_monai.errors import UserError
from bus_monai.source_image import DICOM_SUFFIXES, LUMA, MOST_PIXELS, SourceImage

CENTIMETRES = 3
"""Code of the physical units of an ultrasound region, DICOM PS3.3 C.8.5.5.1.15."""
TWO_DIMENSIONAL = 1
"""Code of the spatial format of a B-mode or colour region, DICOM PS3.3 C.8.5.5.1.1."""


def read_frame(path: Path, frame: int = 0) -> SourceImage:
    """Read one frame of an ultrasound object, of any colour model and transfer syntax that pydicom decodes.

    Only that frame is read from a cine. Values are divided by the largest that the stored bits, or the palette, allow.

    Raises:
        UserError: the file is broken, too large, holds no pixels, or has no such frame.
    """
    header = _read_image_header(path)
    with _decoding(path):
        frames = int(header.get("NumberOfFrames") or 1)
        spacing = spacing_mm(header)
        _check(path, frame, frames, int(header.Rows) * int(header.Columns))
        grey = _grey(_pixels(path, frame, header), header)
    return SourceImage(grey, spacing, frame, frames)


def read_frames(path: Path) -> Iterator[SourceImage]:
    """Read each frame as ``read_frame`` does, one in memory at a time; JPEG baseline in one pass through the file.

    Raises:
        UserError: the file is broken, too large, holds no pixels, or frames are missing; those before are yielded.
    """
    header = _read_image_header(path)
    with _decoding(path):
        frames = int(header.get("NumberOfFrames") or 1)
        _check(path, 0, frames, int(header.Rows) * int(header.Columns))
    if not has_jpeg_luma(header):
        yield from (read_frame(path, frame) for frame in range(frames))
        return
    luma = iterate_luma(path)
    for frame in range(frames):
        with _decoding(path):
            grey, spacing = _grey(next(luma), header), spacing_mm(header)
        yield SourceImage(grey, spacing, frame, frames)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each decoder has errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"The pixels of '{path}' cannot be decoded ({reason}): convert the file to an uncompressed transfer "
            "syntax, or remove it."
        ) from error


def _pixels(path: Path, frame: int, header: Dataset) -> NDArray[Any]:
    if has_jpeg_luma(header):
        return read_luma(path, frame)
    # the first channel of YBR is the luma: no need to convert to RGB and back, which takes most of the time
    if str(header.get("PhotometricInterpretation")).startswith("YBR_FULL"):
        return np.asarray(pixel_array(path, index=frame, raw=True)[..., 0])
    return np.asarray(pixel_array(path, index=frame))


def count_frames(path: Path) -> int:
    """Return the number of frames of a file, 0 where it is no image: a report, or a segmentation of one.

    Raises:
        UserError: the file is broken.
    """
    header = _read_header(path)
    try:
        if "Rows" not in header or header.get("SOPClassUID") == SegmentationStorage:
            return 0
        return int(header.get("NumberOfFrames") or 1)
    except Exception as error:  # values are decoded when they are asked for
        raise UserError(f"'{path}' has no valid NumberOfFrames: copy the file again or remove it.") from error


def frame_size(path: Path) -> tuple[int, int]:
    """Return rows and columns of a file without decoding its pixels.

    Raises:
        UserError: the file is broken or no image.
    """
    header = _read_header(path)
    try:
        return int(header.Rows), int(header.Columns)
    except Exception as error:  # values are decoded when they are asked for
        raise UserError(f"'{path}' holds no pixels: give an image object.") from error


def spacing_mm(header: Dataset) -> tuple[float, float] | None:
    """Return the spacing of rows and columns in mm, or ``None``: it is never invented.

    Two-dimensional ultrasound regions calibrated in centimetres count where all of them agree; else ``PixelSpacing``.
    """
    found = {
        (abs(float(region.PhysicalDeltaY)) * 10, abs(float(region.PhysicalDeltaX)) * 10)
        for region in header.get("SequenceOfUltrasoundRegions") or ()
        if region.get("RegionSpatialFormat") == TWO_DIMENSIONAL
        and region.get("PhysicalUnitsXDirection") == region.get("PhysicalUnitsYDirection") == CENTIMETRES
        and "PhysicalDeltaX" in region
        and "PhysicalDeltaY" in region
    }
    if len(found) > 1:
        return None
    if not found and header.get("PixelSpacing"):
        rows, columns = (float(value) for value in header.PixelSpacing)
        found = {(rows, columns)}
    spacing = found.pop() if found else None
    return spacing if spacing is not None and min(spacing) > 0 else None


def _read_header(path: Path) -> Dataset:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=path.suffix.lower() in DICOM_SUFFIXES)
    except Exception as error:  # of some ten kinds, struct.error among them
        raise UserError(f"'{path}' cannot be read as DICOM ({error}): copy the file again or remove it.") from error
    if "SOPClassUID" not in header:
        raise UserError(f"'{path}' is no DICOM object, it has no SOPClassUID: copy the file again or remove it.")
    return header


def _read_image_header(path: Path) -> Dataset:
    header = _read_header(path)
    if "Rows" not in header:
        raise UserError(f"'{path}' holds no pixels: give an image object.")
    return header


def _check(path: Path, frame: int, frames: int, size: int) -> None:
    if not 0 <= frame < frames:
        raise UserError(f"'{path}' has {frames} frames: there is no frame {frame}, counted from 0.")
    if size > MOST_PIXELS:
        raise UserError(f"'{path}' has {size:,} pixels a frame: scale it down to at most {MOST_PIXELS:,} pixels.")


def _grey(pixels: NDArray[Any], header: Dataset) -> NDArray[np.float32]:
    """Turn decoded pixels, (H, W) or (H, W, 3) in RGB, into luma in [0, 1]."""
    if header.PhotometricInterpretation == "PALETTE COLOR":
        return _palette_luma(pixels, header)
    top = float(2 ** int(header.BitsStored) - 1)
    values = pixels.astype(np.float32)
    if int(header.get("PixelRepresentation", 0)) and values.ndim == 2:
        values += (top + 1) / 2
    values = values @ LUMA if values.ndim == 3 else values
    unit = np.asarray(np.clip(values / np.float32(top), 0, 1), dtype=np.float32)
    return 1 - unit if header.PhotometricInterpretation == "MONOCHROME1" else unit


def _palette_luma(pixels: NDArray[Any], header: Dataset) -> NDArray[np.float32]:
    entries, first, bits = (int(value) for value in header.RedPaletteColorLookupTableDescriptor)
    if "SegmentedRedPaletteColorLookupTableData" in header:
        colours = apply_color_lut(pixels, header)[..., :3]
        return _scaled_luma(colours, bits)
    # pydicom 3.0 reads the tables in the machine's byte order, which turns big endian files black
    order = "<" if header.original_encoding[1] else ">"
    tables = []
    for colour in ("Red", "Green", "Blue"):
        stored = header[f"{colour}PaletteColorLookupTableData"].value
        tables.append(np.frombuffer(stored, dtype=f"{order}u{len(stored) // (entries or 2**16)}"))
    luma = _scaled_luma(np.stack(tables, axis=-1), bits)
    return luma[np.clip(pixels.astype(np.int32) - first, 0, len(luma) - 1)]


def _scaled_luma(colours: NDArray[Any], bits: int) -> NDArray[np.float32]:
    # tables say 8 bits and use 16, and the other way round
    top = np.float32(2 ** min(bits, 8 * colours.dtype.itemsize) - 1)
    return np.asarray(np.clip(colours.astype(np.float32) @ LUMA / top, 0, 1), dtype=np.float32)
