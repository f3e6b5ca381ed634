"""Anatomy of the phantoms: the texture of mammograms, the shapes of lesions."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label, regionprops

from bus_monai.data.datalist import Shape
from bus_monai.data.phantoms.anatomy import breast, draw_lesion, outline, power_law_noise
from bus_monai.data.phantoms.mammogram import make_mammo_phantom


def slope(patch: np.ndarray) -> float:
    """The exponent of the radially averaged power of a square patch, from 3 cycles per side to a third of Nyquist."""
    side = len(patch)
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fft2((patch - np.average(patch, weights=window)) * window)) ** 2
    cycles = np.fft.fftfreq(side, 1 / side)
    radius = np.hypot(cycles[:, None], cycles).round().astype(int).ravel()
    mean = np.bincount(radius, power.ravel()) / np.maximum(np.bincount(radius), 1)
    band = np.arange(3, side // 6)
    return float(np.polyfit(np.log(band), np.log(mean[band]), 1)[0])


def test_power_spectrum_of_noise_and_parenchyma_falls_as_the_third_power() -> None:
    rng = np.random.default_rng(0)
    noise = [slope(power_law_noise((256, 256), rng)[64:192, 64:192]) for _ in range(20)]
    tissue = [slope(breast((512, 400), np.random.default_rng(seed))[0][192:320, 20:148]) for seed in range(10)]
    assert np.mean(noise) == pytest.approx(-3, abs=0.15)
    assert np.mean(tissue) == pytest.approx(-3, abs=0.25)


def test_the_image_keeps_the_slope_of_mammograms() -> None:
    """Masses, calcifications and noise included; 2.5 to 3.5 is found in life."""
    slopes = []
    for seed in range(12):
        phantom = make_mammo_phantom(seed)
        image = phantom.image if phantom.laterality == "L" else np.fliplr(phantom.image)
        slopes.append(slope(image[192:320, 20:148].astype(float)))
    assert -3.5 < np.median(slopes) < -2.5


def test_noise_is_standardized() -> None:
    noise = power_law_noise((65, 40), np.random.default_rng(1))
    assert noise.shape == (65, 40)
    assert noise.mean() == pytest.approx(0, abs=1e-12)
    assert noise.std() == pytest.approx(1)


def test_shapes_are_ordered_by_circularity() -> None:
    rng = np.random.default_rng(0)

    def circularity(shape: Shape) -> float:
        values = []
        for _ in range(30):
            mask = outline((200, 200), shape, (100, 100), 40, False, rng)
            region = max(regionprops(label(mask)), key=lambda r: r.area)
            values.append(4 * np.pi * region.area / region.perimeter_crofton**2)
        return float(np.mean(values))

    round_, oval, lobular, irregular = (circularity(s) for s in ("round", "oval", "lobular", "irregular"))
    assert round_ > oval > lobular > irregular


def test_no_place_left_gives_no_lesion() -> None:
    everywhere = np.ones((64, 64), dtype=bool)
    assert draw_lesion((64, 64), "round", False, np.random.default_rng(0), apart_from=[everywhere]) is None
