"""Speckle reducing anisotropic diffusion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bus_monai.transforms.filters.local_statistics import LEAST_MEAN, local_mean_variance, noise_variation

DECAY = 1 / 6
"""Rate at which the speckle scale falls with diffusion time (Yu and Acton, 2002, equation 37)."""
NOISE_WINDOW = 7


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
    current = np.maximum(image, np.float32(LEAST_MEAN))
    for step in range(iterations):
        # in long runs the scale would fall below single precision
        q0 = np.float32(max(scale * np.exp(-2 * DECAY * step * time_step), 1e-12))
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
    """Return the differences to the four neighbours, 0 across the border."""
    padded = np.pad(image, 1, mode="edge")
    return (
        padded[:-2, 1:-1] - image,
        padded[2:, 1:-1] - image,
        padded[1:-1, :-2] - image,
        padded[1:-1, 2:] - image,
    )
