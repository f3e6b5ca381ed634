"""The point farthest from all that are chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist


def k_centre(points: NDArray[np.float32], chosen: NDArray[np.float32] | None) -> int:
    """Return which point comes next in the greedy solution of the k-centre problem.

    Sener and Savarese, ICLR 2018, arXiv 1708.00489.

    Args:
        points: (N, C), N at least 1.
        chosen: (M, C); without any, the point nearest to the mean is the first centre.
    """
    if chosen is None or not len(chosen):
        return int(cdist(points, points.mean(axis=0, keepdims=True))[:, 0].argmin())
    return int(cdist(points, chosen).min(axis=1).argmax())
