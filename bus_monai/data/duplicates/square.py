"""An image as the duplicate search sees it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

SIDE = 128
BLACK = 8 / 255
"""Brightest value of a row or column that is margin: what JPEG leaves of black."""
BLOCK = 8
"""Pixels that are cut off beside a margin, since there JPEG mixes margin and image."""


def to_square(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut black margins off and scale to 128x128, whatever the aspect.

    Args:
        pixels: (H, W) in [0, 1].

    Returns:
        (128, 128) in [0, 1].
    """
    height, width = pixels.shape
    top, bottom, left, right = content_box(pixels)
    if bottom - top > 4 * BLOCK and right - left > 4 * BLOCK:
        top, left = top + BLOCK * (top > 0), left + BLOCK * (left > 0)
        bottom, right = bottom - BLOCK * (bottom < height), right - BLOCK * (right < width)
    content = Image.fromarray(pixels[top:bottom, left:right])
    return np.asarray(content.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32)


def content_box(pixels: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right (ends exclusive) of what lies within black margins; all if all is black."""
    top, bottom = _span(pixels.max(axis=1) > BLACK)
    left, right = _span(pixels.max(axis=0) > BLACK)
    return top, bottom, left, right


def _span(lit: NDArray[np.bool_]) -> tuple[int, int]:
    where = np.flatnonzero(lit)
    return (int(where[0]), int(where[-1]) + 1) if where.size else (0, lit.size)


def equalise(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace values (..., N) by their ranks along the last axis, with mean 0 and norm 1; equal values share a rank.

    Any growing change of grey values, such as a gamma, leaves the result as it is. A constant gives zeros.
    """
    ranks: NDArray[np.float64] = rankdata(values, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(ranks, axis=-1, keepdims=True)
    return (ranks / np.where(norm > 0, norm, 1)).astype(np.float32)
