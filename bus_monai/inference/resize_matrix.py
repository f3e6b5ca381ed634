"""Resizing as a matrix product, which every backend computes alike."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
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
    weight = positions - left
    kernel = _gaussian((source / target - 1) / 2 if anti_aliasing and target < source else 0.0)
    tail = len(kernel) // 2
    # so wide that what lies beyond the edges has a place too
    wide = np.zeros((target, source + 2 * tail))
    lines = np.arange(target)
    for offset, share in enumerate(kernel):
        wide[lines, left + offset] += (1 - weight) * share
    for offset, share in enumerate(kernel):
        wide[lines, right + offset] += weight * share
    matrix = wide[:, tail : tail + source].astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def _gaussian(sigma: float) -> list[float]:
    """Return the weights of the pixels around one, an odd number of them."""
    if sigma <= 0:
        return [1.0]
    tail = int(max(sigma * TRUNCATED, 0.5) + 0.5)
    edges = [erf((x - 0.5) / (sqrt(2) * sigma)) for x in range(-tail, tail + 2)]
    return [(after - before) / 2 for before, after in pairwise(edges)]
