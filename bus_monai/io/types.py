"""One grey image as its file holds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 100_000_000
"""A larger image is a decompression bomb or a mistake."""
DICOM_SUFFIXES = (".dcm", ".dicom")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Shares of red, green and blue in grey, ITU-R BT.601."""


@dataclass(frozen=True)
class SourceImage:
    """A grey image as stored.

    Args:
        pixels: (H, W) float32, rows first, luma of ITU-R BT.601 where the source has colour, values in [0, 1].
        spacing_mm: of rows and columns, ``None`` where the file does not say.
        frame: number of this frame, from 0.
        frames: how many the file holds.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    frame: int = 0
    frames: int = 1
