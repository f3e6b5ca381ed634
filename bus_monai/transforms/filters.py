"""Speckle filters: Lee, Frost, SRAD."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from bus_monai.errors import UserError

MIN_MEAN = 1e-3
"""Below it a ratio to the mean says nothing; less than one gray level of 255."""
SPECKLE_DECAY = 1 / 6
"""Rate at which the speckle scale falls with diffusion time (Yu and Acton, 2002, equation 37)."""
NOISE_WINDOW = 7


def local_mean_variance(image: NDArray[np.float32], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and variance (H, W) in windows of ``size`` pixels per side.

    Raises:
        UserError: ``image`` is not (H, W), as every filter here takes it.
    """
    if image.ndim != 2:
        raise UserError(f"A speckle filter takes an image (H, W), not {image.shape}: give one channel.")
    mean = uniform_filter(image, size, mode="reflect")
    square = uniform_filter(image * image, size, mode="reflect")
    return mean, np.maximum(square - mean * mean, 0)


def squared_variation(mean: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared coefficient of variation, variance by squared mean."""
    squared: NDArray[np.float32] = variance / np.maximum(mean, MIN_MEAN) ** 2
    return squared


def noise_variation(mean: NDArray[np.float32], variance: NDArray[np.float32]) -> float:
    """Estimate the squared coefficient of variation of speckle alone: the median over the image.

    Most of an ultrasound image is homogeneous tissue, so the median window holds no edge.
    """
    tissue = mean > MIN_MEAN
    return float(np.median(squared_variation(mean, variance)[tissue])) if tissue.any() else 0.0


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
        # one exponential per distance instead of one per pixel of the window
        weight = np.exp(-rate * np.float32(distance))
        total += weight * sum(padded[down : down + height, right : right + width] for down, right in offsets)
        norm += weight * len(offsets)
    filtered: NDArray[np.float32] = np.clip(total / norm, 0, 1)
    return filtered


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


def srad(image: NDArray[np.float32], *, iterations: int = 20, time_step: float = 0.2) -> NDArray[np.float32]:
    """Diffuse where the instantaneous coefficient of variation is that of speckle, and stop where it is an edge's.

    Yu and Acton, IEEE Trans. Image Process. 11(11), 2002, equations 30 to 37. The speckle scale at the start is
    estimated from the image (median coefficient of variation of 7x7 windows) instead of from a region picked by hand.

    Args:
        image: (H, W), values in [0, 1].
        iterations: steps of diffusion.
        time_step: length of a step, at most 0.25 for stability.

    Returns:
        (H, W), values in [0, 1].
    """
    scale = noise_variation(*local_mean_variance(image, NOISE_WINDOW))
    if scale <= 0:
        return image
    # ratios to the intensity need it above 0
    current = np.maximum(image, np.float32(MIN_MEAN))
    for step in range(iterations):
        # in long runs the scale would fall below single precision
        q0 = np.float32(max(scale * np.exp(-2 * SPECKLE_DECAY * step * time_step), 1e-12))
        current = current + np.float32(time_step) * _divergence(current, _diffusion(current, q0))
    return np.clip(current, 0, 1)


def _diffusion(image: NDArray[np.float32], q0: np.float32) -> NDArray[np.float32]:
    """Return the diffusion coefficient in [0, 1] (equations 31 and 33); ``q0`` is the squared speckle scale."""
    north, south, west, east = _differences(image)
    gradient = (north**2 + south**2 + west**2 + east**2) / image**2
    laplacian = (north + south + west + east) / image
    # on coarse grids the denominator can reach 0, where the edge is as strong as can be
    q = np.maximum(0.5 * gradient - laplacian**2 / 16, 0) / np.maximum((1 + 0.25 * laplacian) ** 2, 1e-6)
    coefficient: NDArray[np.float32] = np.clip(1 / np.maximum(1 + (q - q0) / (q0 * (1 + q0)), 1e-6), 0, 1)
    return coefficient


def _divergence(image: NDArray[np.float32], coefficient: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the divergence of ``coefficient`` times the gradient, with the half-step scheme of equation 35."""
    north, south, west, east = _differences(image)
    below = np.concatenate([coefficient[1:], coefficient[-1:]], axis=0)
    right = np.concatenate([coefficient[:, 1:], coefficient[:, -1:]], axis=1)
    return (coefficient * (north + west) + below * south + right * east).astype(np.float32, copy=False)


def _differences(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Return the differences to the four neighbors, 0 across the border."""
    padded = np.pad(image, 1, mode="edge")
    return (
        padded[:-2, 1:-1] - image,
        padded[2:, 1:-1] - image,
        padded[1:-1, :-2] - image,
        padded[1:-1, 2:] - image,
    )
