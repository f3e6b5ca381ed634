"""What may happen to an image between scanner and network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.transforms.scanner_effects import (
    Pixels,
    Random,
    add_speckle,
    burn_in,
    correlated_noise,
    jpeg,
    random_overlay,
)

Mask: TypeAlias = NDArray[np.bool_]
Perturbation: TypeAlias = Callable[[Pixels, Mask, Random], tuple[Pixels, Mask]]
"""Pixels (H, W) in [0, 1], mask (H, W) and a source of chance to new pixels and mask, of one size."""

BAR = 0.2
"""Height of each black bar, as a share of the image's height."""
SPECKLE, SPECKLE_LENGTH = 0.3, 1.0
"""Standard deviation of the added noise, and its correlation length in pixels."""


def _letterbox(pixels: Pixels, mask: Mask, random: Random) -> tuple[Pixels, Mask]:
    bar = round(BAR * len(pixels))
    return np.pad(pixels, ((bar, bar), (0, 0))), np.pad(mask, ((bar, bar), (0, 0)))


def _gamma(exponent: float) -> Perturbation:
    return lambda pixels, mask, random: ((pixels**exponent).astype(np.float32), mask)


def _resize(rows: float, columns: float) -> Perturbation:
    def resized(pixels: Pixels, mask: Mask, random: Random) -> tuple[Pixels, Mask]:
        height, width = pixels.shape
        size = (max(1, round(columns * width)), max(1, round(rows * height)))
        image = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        share = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
        small = share >= 0.5
        # a lesion of few pixels must not vanish: the case would count as normal
        return np.clip(image, 0, 1), small if small.any() else share > 0

    return resized


def _jpeg(pixels: Pixels, mask: Mask, random: Random) -> tuple[Pixels, Mask]:
    return jpeg(pixels, 30), mask


def _overlay(pixels: Pixels, mask: Mask, random: Random) -> tuple[Pixels, Mask]:
    return burn_in(pixels, random_overlay(random)), mask


def _speckle(pixels: Pixels, mask: Mask, random: Random) -> tuple[Pixels, Mask]:
    height, width = pixels.shape
    return add_speckle(pixels, correlated_noise((height, width), SPECKLE_LENGTH, random), SPECKLE), mask


PERTURBATIONS: Mapping[str, Perturbation] = {
    "letterbox 20 %": _letterbox,
    "gamma 0.6": _gamma(0.6),
    "gamma 1.6": _gamma(1.6),
    "scale 1/3": _resize(1 / 3, 1 / 3),
    "scale 3": _resize(3, 3),
    "width 0.75": _resize(1, 0.75),
    "JPEG quality 30": _jpeg,
    "text and calipers": _overlay,
    "speckle": _speckle,
}
"""By what tables call them."""
