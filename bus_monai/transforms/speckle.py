"""Speckle reduction by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import Transform
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor

from bus_monai.errors import check_choice
from bus_monai.transforms.filters import MIN_MEAN, frost, lee, local_mean_variance, srad
from bus_monai.transforms.gray import EachKeyd, as_image, unit_pixels

Image = NDArray[np.float32]


def median(image: Image, *, size: int = 5) -> Image:
    """Median of square windows of ``size`` pixels; the edge's pixels stand for those beyond it."""
    filtered: Image = median_filter(image, size=size, mode="nearest")
    return filtered


def median3(image: Image) -> Image:
    """Median of windows of 3x3 pixels, for mammograms, which have no speckle to take out but noise."""
    return median(image, size=3)


def nlm(image: Image, *, patch_size: int = 5, patch_distance: int = 5, strength: float = 1.0) -> Image:
    """Non-local means (Buades et al., CVPR 2005), scikit-image's fast mode.

    ``strength`` times the median standard deviation of 5x5 windows is the filter's ``h``.
    """
    from skimage.restoration import denoise_nl_means

    h = strength * _noise(image)
    if h <= 0:
        return image
    filtered: Image = denoise_nl_means(image, patch_size=patch_size, patch_distance=patch_distance, h=h, fast_mode=True)
    return filtered


def curvature_diffusion(
    image: Image, *, iterations: int = 12, time_step: float = 0.12, conductance: float = 6.0
) -> Image:
    """Modified curvature diffusion (Whitaker and Xue, ICIP 2001), by ITK."""
    import itk

    filtered: Image = itk.array_from_image(
        itk.curvature_anisotropic_diffusion_image_filter(
            itk.image_from_array(image),
            number_of_iterations=iterations,
            time_step=time_step,
            conductance_parameter=conductance,
        )
    )
    return filtered


def bilateral(image: Image, *, sigma_spatial: float = 2.0, strength: float = 2.0) -> Image:
    """Bilateral filter (Tomasi and Manduchi, ICCV 1998), by scikit-image.

    ``strength`` times the median standard deviation of 5x5 windows is the width in gray values.
    """
    from skimage.restoration import denoise_bilateral

    sigma = strength * _noise(image)
    return denoise_bilateral(image, sigma_color=sigma, sigma_spatial=sigma_spatial) if sigma > 0 else image


SPECKLE_METHODS: dict[str, Callable[..., Image]] = {
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
        pixels = unit_pixels(image, "SpeckleReduction")
        return as_image(np.clip(SPECKLE_METHODS[self.method](pixels, **self.parameters), 0, 1), image)


class SpeckleReductiond(EachKeyd):
    """Dictionary version of :class:`SpeckleReduction`."""

    def __init__(
        self, keys: KeysCollection, method: str = "median", allow_missing_keys: bool = False, **parameters: Any
    ) -> None:
        super().__init__(keys, SpeckleReduction(method, **parameters), allow_missing_keys)


def _noise(image: Image) -> float:
    """Return the median standard deviation of 5x5 windows: speckle of tissue, since black margins do not count."""
    mean, variance = local_mean_variance(image, 5)
    tissue = mean > MIN_MEAN
    return float(np.sqrt(np.median(variance[tissue]))) if tissue.any() else 0.0
