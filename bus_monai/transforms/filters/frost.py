"""The Frost filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bus_monai.transforms.filters.local_statistics import local_mean_variance, squared_variation


def frost(image: NDArray[np.float32], *, size: int = 7, damping: float = 2.0) -> NDArray[np.float32]:
    """Average each window with weights that fall off with distance, the faster the less homogeneous it is.

    The weight at distance ``d`` is ``exp(-damping * C^2 * d)`` with the local coefficient of variation C: Frost,
    Stiles, Shanmugan and Holtzman, IEEE Trans. Pattern Anal. Mach. Intell. 4(2), 1982, equation 21, in the form with a
    damping factor that is in common use. The local variation takes log compression into account.

    Args:
        image: (H, W), values in [0, 1].
        size: side of the window in pixels, odd.
        damping: larger values keep more detail.

    Returns:
        (H, W), values in [0, 1].
    """
    half = size // 2
    rate = damping * squared_variation(*local_mean_variance(image, size))
    padded = np.pad(image, half, mode="symmetric")
    height, width = image.shape
    rings: dict[float, list[tuple[int, int]]] = {}
    for down in range(size):
        for right in range(size):
            rings.setdefault(float(np.hypot(down - half, right - half)), []).append((down, right))
    total, norm = np.zeros_like(image), np.zeros_like(image)
    for distance, offsets in rings.items():
        # one exponential a distance instead of one a pixel of the window
        weight = np.exp(-rate * np.float32(distance))
        total += weight * sum(padded[down : down + height, right : right + width] for down, right in offsets)
        norm += weight * len(offsets)
    filtered: NDArray[np.float32] = np.clip(total / norm, 0, 1)
    return filtered
