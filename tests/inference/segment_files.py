"""What the tests of the batch job write and read."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import UltrasoundMultiFrameImageStorage

from bus_monai.inference.manifest import MANIFEST_FILE

PNG = ("overlay", "png")


def draw(path: Path, *boxes: tuple[int, int, int, int], size: tuple[int, int] = (24, 32)) -> Path:
    """Write a gray image with bright boxes (top, left, bottom, right)."""
    pixels = np.full(size, 40, np.uint8)
    for top, left, bottom, right in boxes:
        pixels[top:bottom, left:right] = 200
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def ultrasound(path: Path, **changes: Any) -> Path:
    data = pydicom.dcmread(str(get_testdata_file("US1_UNCR.dcm", download=False)))
    for key, value in changes.items():
        setattr(data, key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path)
    return path


def write_cine(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write frames (N, H, W) as gray uncompressed DICOM without calibration."""
    data = pydicom.dcmread(ultrasound(path, SOPClassUID=UltrasoundMultiFrameImageStorage))
    for keyword in ("PlanarConfiguration", "SequenceOfUltrasoundRegions"):
        data.pop(keyword, None)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.NumberOfFrames, data.Rows, data.Columns = pixels.shape
    data.PixelData = pixels.tobytes()
    data.save_as(path)
    return path


def table(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    """All files but those that tell the time."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("run.json", MANIFEST_FILE)
    }
