"""Luma of JPEG baseline frames, decoded without their colour."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, get_frame
from pydicom.uid import JPEGBaseline8Bit

ENCAPSULATED = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"
"""Head of compressed pixel data: tag, representation, undefined length. DICOM PS3.5 A.4."""


def has_jpeg_luma(header: Dataset) -> bool:
    """Whether the frames are JPEG baseline with luma and chroma apart; frames coded as RGB have no luma to take."""
    return (
        header.file_meta.get("TransferSyntaxUID") == JPEGBaseline8Bit
        and str(header.get("PhotometricInterpretation")).startswith("YBR_FULL")
        and header.get("BitsStored") == 8
    )


def read_luma(path: Path, index: int) -> NDArray[np.uint8]:
    """Read the luma (H, W) of one frame; no other frame is read.

    Raises:
        Exception: the frame is not there or broken; Pillow and pydicom have many kinds.
    """
    with path.open("rb") as file:
        header = _to_pixels(file)
        frames = int(header.get("NumberOfFrames") or 1)
        return _decode(get_frame(file, index, number_of_frames=frames, extended_offsets=_offsets(header)), header)


def iterate_luma(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the luma (H, W) of each frame, one in memory at a time.

    Raises:
        Exception: frames are missing or broken; Pillow and pydicom have many kinds.
    """
    with path.open("rb") as file:
        header = _to_pixels(file)
        frames = int(header.get("NumberOfFrames") or 1)
        found = generate_frames(file, number_of_frames=frames, extended_offsets=_offsets(header))
        for _ in range(frames):
            encoded = next(found, None)
            if encoded is None:
                raise ValueError(f"less than {frames} frames are there")
            yield _decode(encoded, header)


def _to_pixels(file: BinaryIO) -> Dataset:
    """Read up to the first item of the pixel data."""
    header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    if file.read(len(ENCAPSULATED)) != ENCAPSULATED:
        raise ValueError("the pixels are not encapsulated")
    return header


def _offsets(header: Dataset) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" not in header:
        return None
    return header.ExtendedOffsetTable, header.ExtendedOffsetTableLengths


def _decode(encoded: bytes, header: Dataset) -> NDArray[np.uint8]:
    image = Image.open(BytesIO(encoded), formats=["JPEG"])
    if image.size != (header.Columns, header.Rows):
        raise ValueError(f"a frame has {image.height} x {image.width} pixels")
    # leaves chroma out of the decoding; where the JPEG itself says that it holds RGB, the luma is computed
    image.draft("L", image.size)
    if image.mode != "L":
        raise ValueError(f"a frame has the colour model {image.mode}")
    return np.asarray(image)
