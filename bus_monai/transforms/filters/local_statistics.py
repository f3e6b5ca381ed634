"""Mean, variance and noise level of small windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

LEAST_MEAN = 1e-3
"""Below it a ratio to the mean says nothing; less than one grey level of 255."""


def local_mean_variance(image: NDArray[np.float32], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and variance (H, W) in windows of ``size`` pixels a side."""
    mean = uniform_filter(image, size, mode="reflect")
    square = uniform_filter(image * image, size, mode="reflect")
    return mean, np.maximum(square - mean * mean, 0)


def squared_variation(mean: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared coefficient of variation, variance by squared mean."""
    squared: NDArray[np.float32] = variance / np.maximum(mean, LEAST_MEAN) ** 2
    return squared


def noise_variation(mean: NDArray[np.float32], variance: NDArray[np.float32]) -> float:
    """Estimate the squared coefficient of variation of speckle alone: the median over the image.

    Most of an ultrasound image is homogeneous tissue, so the median window holds no edge.
    """
    tissue = mean > LEAST_MEAN
    return float(np.median(squared_variation(mean, variance)[tissue])) if tissue.any() else 0.0
