"""The Lee filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bus_monai.transforms.filters.local_statistics import local_mean_variance, noise_variation


def lee(image: NDArray[np.float32], *, size: int = 7) -> NDArray[np.float32]:
    """Blend each pixel with the mean of its window by the local linear minimum mean square error.

    Lee, IEEE Trans. Pattern Anal. Mach. Intell. 2(2), 1980, equations 17 to 19, with multiplicative noise whose
    coefficient of variation is estimated from the image (median over windows). B-mode is log-compressed, so that
    speckle is no longer strictly multiplicative; estimating its level from the image itself absorbs that.

    Args:
        image: (H, W), values in [0, 1].
        size: side of the window in pixels.

    Returns:
        (H, W), values in [0, 1].
    """
    mean, variance = local_mean_variance(image, size)
    noise = noise_variation(mean, variance)
    signal = np.maximum((variance - mean * mean * noise) / (1 + noise), 0)
    total = signal * (1 + noise) + mean * mean * noise
    weight = np.divide(signal, total, out=np.zeros_like(signal), where=total > 0)
    filtered: NDArray[np.float32] = np.clip(mean + weight * (image - mean), 0, 1)
    return filtered
