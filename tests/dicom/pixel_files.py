"""Ultrasound objects whose header says what their pixels are, or something else."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
)

ROWS, COLUMNS = 48, 64
BASE = np.fromfunction(lambda y, x: 127 + 100 * np.sin(y / 9) * np.cos(x / 11), (ROWS, COLUMNS)).astype(np.uint8)
BASE[:6] = 0
FRAMES = np.stack([BASE, BASE[:, ::-1], BASE // 2 + 40])
RGB = np.repeat(BASE[..., None], 3, axis=2)


def written(folder: Path, pixels: np.ndarray, **values: Any) -> Path:
    """Write an ultrasound object whose header says what the pixels are, but for ``values``; ``None`` leaves one out."""
    color = pixels.shape[-1] == 3
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(values.pop("syntax", ExplicitVRLittleEndian))
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = UltrasoundImageStorage, "1.2.3", "US"
    data.Rows, data.Columns = ROWS, COLUMNS
    if pixels.ndim - color == 3:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel = 3 if color else 1
    data.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for key, value in values.items():
        if value is None:
            delattr(data, key)
        else:
            setattr(data, key, value)
    data["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    data["PixelData"].is_undefined_length = data.file_meta.TransferSyntaxUID.is_encapsulated
    data.save_as(folder / "a.dcm", enforce_file_format=True)
    return folder / "a.dcm"


def jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=98, **options)
    return file.getvalue() + b"\0" * (file.tell() % 2)


def j2k(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", no_jp2=True)
    return file.getvalue() + b"\0" * (file.tell() % 2)


def compressed(pixels: np.ndarray, syntax: UID) -> bytes:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.PixelRepresentation, data.NumberOfFrames = 0, 1
    data.PhotometricInterpretation, data.PlanarConfiguration = "RGB" if pixels.ndim == 3 else "MONOCHROME2", 0
    data.SOPClassUID = data.SOPInstanceUID = "1.2.3"
    data.compress(syntax, pixels, generate_instance_uid=False)
    return next(generate_frames(data.PixelData, number_of_frames=1))


ENCODED = {
    JPEGBaseline8Bit: jpeg,
    JPEG2000Lossless: j2k,
    JPEGLSLossless: lambda pixels: compressed(pixels, JPEGLSLossless),
    RLELossless: lambda pixels: compressed(pixels, RLELossless),
}
