"""Speckle filters: Lee, Frost, SRAD and others, and the transform that takes one by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import Transform
from numpy.typing import NDArray
from scipy.ndimage import median_filter, uniform_filter
from torch import Tensor

from bus_monai.errors import UserError, check_choice
from bus_monai.transforms.gray import EachKeyd, as_image, check_unit, gray_pixels

Pixels: TypeAlias = NDArray[np.float32]
MIN_MEAN = 1e-3
"""Below it a ratio to the mean says nothing; less than one gray level of 255."""
SPECKLE_DECAY = 1 / 6
"""Rate at which the speckle scale falls with diffusion time (Yu and Acton, 2002, equation 37)."""
NOISE_WINDOW = 7


def _check_plane(image: Pixels, what: str) -> None:
    if image.ndim != 2:
        raise UserError(f"{what} takes an image (H, W), not {image.shape}: give one channel.", key=what)
    check_unit(image, what)


def local_mean_variance(image: Pixels, size: int) -> tuple[Pixels, Pixels]:
    """Return mean and variance (H, W) in windows of ``size`` pixels per side."""
    mean = uniform_filter(image, size, mode="reflect")
    square = uniform_filter(image * image, size, mode="reflect")
    return mean, np.maximum(square - mean * mean, 0)


def squared_variation(mean: Pixels, variance: Pixels) -> Pixels:
    """Return the squared coefficient of variation, variance by squared mean."""
    squared: Pixels = variance / np.maximum(mean, MIN_MEAN) ** 2
    return squared


def noise_variation(mean: Pixels, variance: Pixels) -> float:
    """Estimate the squared coefficient of variation of speckle alone: the median over the image.

    Most of an ultrasound image is homogeneous tissue, so the median window holds no edge.
    """
    tissue = mean > MIN_MEAN
    return float(np.median(squared_variation(mean, variance)[tissue])) if tissue.any() else 0.0


def frost(image: Pixels, *, size: int = 7, damping: float = 2.0) -> Pixels:
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

    Raises:
        UserError: ``image`` has another shape or range.

    Example:
        >>> noisy = np.random.default_rng(0).random((32, 32), dtype=np.float32)
        >>> bool(frost(noisy).std() < noisy.std())
        True
    """
    _check_plane(image, "frost")
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
    filtered: Pixels = np.clip(total / norm, 0, 1)
    return filtered


def lee(image: Pixels, *, size: int = 7) -> Pixels:
    """Blend each pixel with the mean of its window by the local linear minimum mean square error.

    Lee, IEEE Trans. Pattern Anal. Mach. Intell. 2(2), 1980, equations 17 to 19, with multiplicative noise whose
    coefficient of variation is estimated from the image (median over windows). B-mode is log-compressed, so that
    speckle is no longer strictly multiplicative; estimating its level from the image itself absorbs that.

    Args:
        image: (H, W), values in [0, 1].
        size: side of the window in pixels.

    Returns:
        (H, W), values in [0, 1].

    Raises:
        UserError: ``image`` has another shape or range.

    Example:
        >>> noisy = np.random.default_rng(0).random((32, 32), dtype=np.float32)
        >>> bool(lee(noisy).std() < noisy.std())
        True
    """
    _check_plane(image, "lee")
    mean, variance = local_mean_variance(image, size)
    noise = noise_variation(mean, variance)
    signal = np.maximum((variance - mean * mean * noise) / (1 + noise), 0)
    total = signal * (1 + noise) + mean * mean * noise
    weight = np.divide(signal, total, out=np.zeros_like(signal), where=total > 0)
    filtered: Pixels = np.clip(mean + weight * (image - mean), 0, 1)
    return filtered


def srad(image: Pixels, *, iterations: int = 20, time_step: float = 0.2) -> Pixels:
    """Diffuse where the instantaneous coefficient of variation is that of speckle, and stop where it is an edge's.

    Yu and Acton, IEEE Trans. Image Process. 11(11), 2002, equations 30 to 37. The speckle scale at the start is
    estimated from the image (median coefficient of variation of 7x7 windows) instead of from a region picked by hand.

    Args:
        image: (H, W), values in [0, 1].
        iterations: steps of diffusion.
        time_step: length of a step, at most 0.25 for stability.

    Returns:
        (H, W), values in [0, 1].

    Raises:
        UserError: ``image`` has another shape or range.

    Example:
        >>> noisy = np.random.default_rng(0).random((32, 32), dtype=np.float32)
        >>> bool(srad(noisy).std() < noisy.std())
        True
    """
    _check_plane(image, "srad")
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


def _diffusion(image: Pixels, q0: np.float32) -> Pixels:
    """Return the diffusion coefficient in [0, 1] (equations 31 and 33); ``q0`` is the squared speckle scale."""
    north, south, west, east = _differences(image)
    gradient = (north**2 + south**2 + west**2 + east**2) / image**2
    laplacian = (north + south + west + east) / image
    # on coarse grids the denominator can reach 0, where the edge is as strong as can be
    q = np.maximum(0.5 * gradient - laplacian**2 / 16, 0) / np.maximum((1 + 0.25 * laplacian) ** 2, 1e-6)
    coefficient: Pixels = np.clip(1 / np.maximum(1 + (q - q0) / (q0 * (1 + q0)), 1e-6), 0, 1)
    return coefficient


def _divergence(image: Pixels, coefficient: Pixels) -> Pixels:
    """Return the divergence of ``coefficient`` times the gradient, with the half-step scheme of equation 35."""
    north, south, west, east = _differences(image)
    below = np.concatenate([coefficient[1:], coefficient[-1:]], axis=0)
    right = np.concatenate([coefficient[:, 1:], coefficient[:, -1:]], axis=1)
    return (coefficient * (north + west) + below * south + right * east).astype(np.float32, copy=False)


def _differences(image: Pixels) -> tuple[Pixels, ...]:
    """Return the differences to the four neighbors, 0 across the border."""
    padded = np.pad(image, 1, mode="edge")
    return (
        padded[:-2, 1:-1] - image,
        padded[2:, 1:-1] - image,
        padded[1:-1, :-2] - image,
        padded[1:-1, 2:] - image,
    )


def median(image: Pixels, *, size: int = 5) -> Pixels:
    """Median of square windows of ``size`` pixels; the edge's pixels stand for those beyond it."""
    _check_plane(image, "median")
    filtered: Pixels = median_filter(image, size=size, mode="nearest")
    return filtered


def median3(image: Pixels) -> Pixels:
    """Median of windows of 3x3 pixels, for mammograms, which have no speckle to take out but noise."""
    return median(image, size=3)


def nlm(image: Pixels, *, patch_size: int = 5, patch_distance: int = 5, strength: float = 1.0) -> Pixels:
    """Non-local means (Buades et al., CVPR 2005), scikit-image's fast mode.

    ``strength`` times the median standard deviation of 5x5 windows is the filter's ``h``.
    """
    from skimage.restoration import denoise_nl_means

    _check_plane(image, "nlm")
    h = strength * _noise(image)
    if h <= 0:
        return image
    filtered: Pixels = denoise_nl_means(
        image, patch_size=patch_size, patch_distance=patch_distance, h=h, fast_mode=True
    )
    return filtered


def curvature_diffusion(
    image: Pixels, *, iterations: int = 12, time_step: float = 0.12, conductance: float = 6.0
) -> Pixels:
    """Modified curvature diffusion (Whitaker and Xue, ICIP 2001), by ITK."""
    import itk

    _check_plane(image, "curvature_diffusion")
    filtered: Pixels = itk.array_from_image(
        itk.curvature_anisotropic_diffusion_image_filter(
            itk.image_from_array(image),
            number_of_iterations=iterations,
            time_step=time_step,
            conductance_parameter=conductance,
        )
    )
    return filtered


def bilateral(image: Pixels, *, sigma_spatial: float = 2.0, strength: float = 2.0) -> Pixels:
    """Bilateral filter (Tomasi and Manduchi, ICCV 1998), by scikit-image.

    ``strength`` times the median standard deviation of 5x5 windows is the width in gray values.
    """
    from skimage.restoration import denoise_bilateral

    _check_plane(image, "bilateral")
    sigma = strength * _noise(image)
    return denoise_bilateral(image, sigma_color=sigma, sigma_spatial=sigma_spatial) if sigma > 0 else image


SPECKLE_METHODS: dict[str, Callable[..., Pixels]] = {
    "none": lambda image: image,
    "median": median,
    "median3": median3,
    "lee": lee,
    "frost": frost,
    "srad": srad,
    "nlm": nlm,
    "curvature_diffusion": curvature_diffusion,
    "bilateral": bilateral,
}


class SpeckleReduction(Transform):
    """Reduce speckle of an image (1, H, W) with values in [0, 1]; metadata stay.

    Args:
        method: ``none``, ``median`` (5x5), ``median3`` (3x3), ``lee``, ``frost``, ``srad``, ``nlm``,
            ``curvature_diffusion`` or ``bilateral``.
        parameters: of the method's function.

    Raises:
        UserError: unknown method, or an image of several channels or outside of [0, 1].

    Example:
        >>> import torch
        >>> noisy = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> smooth = SpeckleReduction("lee", size=5)(noisy)
        >>> smooth.shape, bool(smooth.std() < noisy.std())
        (torch.Size([1, 32, 32]), True)
    """

    def __init__(self, method: str = "median", **parameters: Any) -> None:
        check_choice("speckle", method, SPECKLE_METHODS)
        self.method = method
        self.parameters = parameters

    def __call__(self, image: Tensor) -> Tensor:
        """Return the filtered image."""
        if self.method == "none":
            return image
        # the filter checks the range
        pixels = gray_pixels(image, "SpeckleReduction")
        return as_image(np.clip(SPECKLE_METHODS[self.method](pixels, **self.parameters), 0, 1), image)


class SpeckleReductiond(EachKeyd):
    """Dictionary version of :class:`SpeckleReduction`.

    Example:
        >>> import torch
        >>> noisy = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> bool(SpeckleReductiond("image", "srad")({"image": noisy})["image"].std() < noisy.std())
        True
    """

    def __init__(
        self, keys: KeysCollection, method: str = "median", allow_missing_keys: bool = False, **parameters: Any
    ) -> None:
        super().__init__(keys, SpeckleReduction(method, **parameters), allow_missing_keys)


def _noise(image: Pixels) -> float:
    """Return the median standard deviation of 5x5 windows: speckle of tissue, since black margins do not count."""
    mean, variance = local_mean_variance(image, 5)
    tissue = mean > MIN_MEAN
    return float(np.sqrt(np.median(variance[tissue]))) if tissue.any() else 0.0
