"""Resizing as a matrix product, which every backend computes alike."""

from __future__ import annotations

from functools import lru_cache
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

TRUNCATED = 4.0
"""Standard deviations at which MONAI cuts its Gaussian filter."""


@lru_cache(maxsize=64)
def resize_matrix(source: int, target: int, *, anti_aliasing: bool) -> NDArray[np.float32]:
    """Return the matrix (target, source) that resizes one axis as MONAI's ``Resize`` with ``mode="bilinear"`` does.

    That is linear interpolation between the middles of pixels; with ``anti_aliasing`` and fewer pixels than before,
    after a Gaussian filter of standard deviation ``(source / target - 1) / 2``, zeros beyond the edge.

    Args:
        source: pixels before.
        target: pixels after.
        anti_aliasing: filter first.

    Example:
        >>> resize_matrix(2, 1, anti_aliasing=False)
        array([[0.5, 0.5]], dtype=float32)
    """
    positions = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
    left = positions.astype(int)
    right = np.minimum(left + 1, source - 1)
    weight = (positions - left)[:, None]
    columns = np.arange(source)
    sigma = (source / target - 1) / 2 if anti_aliasing and target < source else 0.0
    kernel = _gaussian(sigma)
    matrix = (1 - weight) * kernel(columns - left[:, None]) + weight * kernel(columns - right[:, None])
    matrix = matrix.astype(np.float32)
    matrix.flags.writeable = False
    return matrix


class _gaussian:  # noqa: N801, a function that remembers its table
    def __init__(self, sigma: float) -> None:
        self.tail = int(max(sigma * TRUNCATED, 0.5) + 0.5)
        offsets = range(-self.tail, self.tail + 1)
        if sigma > 0:
            table = [(erf((x + 0.5) / (sqrt(2) * sigma)) - erf((x - 0.5) / (sqrt(2) * sigma))) / 2 for x in offsets]
        else:
            table = [float(x == 0) for x in offsets]
        # one zero more at the end, for all that lies beyond the tail
        self.table = np.array([*table, 0.0])

    def __call__(self, offsets: NDArray[np.int_]) -> NDArray[np.float64]:
        inside = np.abs(offsets) <= self.tail
        return self.table[np.where(inside, offsets + self.tail, -1)]
