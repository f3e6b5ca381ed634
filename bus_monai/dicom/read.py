"""Frames of DICOM ultrasound as grey values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import apply_color_lut

from bus_monai.errors import UserError
from bus_monai.source import SourceImage

CENTIMETRES = 3
"""Code of the physical units of an ultrasound region, DICOM PS3.3 C.8.5.5.1.15."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601."""


def read_frame(path: Path, frame: int = 0) -> SourceImage:
    """Read one frame of an ultrasound object, of any colour model and transfer syntax that pydicom decodes.

    Raises:
        UserError: the file is broken, holds no pixels, or has no such frame.
    """
    dataset = _read(path)
    frames = _frames(dataset, path)
    if not 0 <= frame < frames:
        raise UserError(f"'{path}' has {frames} frames: there is no frame {frame}, counted from 0.")
    try:
        pixels = pixel_array(dataset, index=frame)
        grey = _grey(pixels, dataset)
    except Exception as error:  # each decoder has errors of its own
        raise UserError(
            f"The pixels of '{path}' cannot be decoded ({str(error).splitlines()[0][:120]}): convert the file to an "
            "uncompressed transfer syntax, or remove it."
        ) from error
    return SourceImage(grey, spacing_mm(dataset), frame, frames)


def count_frames(path: Path) -> int:
    """Return the number of frames of a file, 0 where it holds no pixels.

    Raises:
        UserError: the file is broken.
    """
    dataset = _read(path, stop_before_pixels=True)
    return int(dataset.get("NumberOfFrames") or 1) if "Rows" in dataset else 0


def spacing_mm(dataset: Dataset) -> tuple[float, float] | None:
    """Return the spacing of rows and columns in mm, or ``None``: it is never invented.

    Ultrasound regions calibrated in centimetres count where all of them agree; else ``PixelSpacing``.
    """
    found = {
        (abs(float(region.PhysicalDeltaY)) * 10, abs(float(region.PhysicalDeltaX)) * 10)
        for region in dataset.get("SequenceOfUltrasoundRegions") or ()
        if region.get("PhysicalUnitsXDirection") == CENTIMETRES and region.get("PhysicalUnitsYDirection") == CENTIMETRES
    }
    if len(found) > 1:
        return None
    if not found and dataset.get("PixelSpacing"):
        found = {tuple(float(value) for value in dataset.PixelSpacing)}  # type: ignore[misc]
    spacing = found.pop() if found else None
    return spacing if spacing is not None and min(spacing) > 0 else None


def _read(path: Path, *, stop_before_pixels: bool = False) -> Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=stop_before_pixels, force=path.suffix.lower() == ".dcm")
    except (InvalidDicomError, OSError, ValueError, KeyError, NotImplementedError) as error:
        raise UserError(f"'{path}' cannot be read as DICOM ({error}): copy the file again or remove it.") from error


def _frames(dataset: Dataset, path: Path) -> int:
    if "Rows" not in dataset or not any(key in dataset for key in ("PixelData", "FloatPixelData")):
        raise UserError(f"'{path}' holds no pixels: give an image object.")
    return int(dataset.get("NumberOfFrames") or 1)


def _grey(pixels: NDArray, dataset: Dataset) -> NDArray[np.float32]:
    """Turn decoded pixels, (H, W) or (H, W, 3) in RGB, into luma in [0, 1]."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
        # the table, not the index, decides on the depth
        top = float(np.iinfo(pixels.dtype).max)
    else:
        top = float(2 ** int(dataset.BitsStored) - 1)
    values = pixels.astype(np.float32)
    if int(dataset.get("PixelRepresentation", 0)) and values.ndim == 2:
        values += (top + 1) / 2
    values = values @ LUMA if values.ndim == 3 else values
    unit = np.clip(values / np.float32(top), 0, 1).astype(np.float32)
    return 1 - unit if dataset.PhotometricInterpretation == "MONOCHROME1" else unit
