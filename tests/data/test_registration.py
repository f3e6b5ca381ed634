"""What is compared of two images: ranks, within black margins, at the window that fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.data.registration import (
    content_box,
    correlate_registered,
    equalize,
    find_candidates,
    fit_windows,
    flipped,
    to_coarse,
    to_square,
)
from bus_monai.geometry.box import Box


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 2), st.integers(0, 1000))
def test_ranks_do_not_heed_gamma(gamma: float, seed: int) -> None:
    values = np.random.default_rng(seed).random(50).astype(np.float32)
    np.testing.assert_array_equal(equalize(values), equalize(values.astype(np.float64) ** gamma))
    assert np.linalg.norm(equalize(values)) == pytest.approx(1)


def test_black_margins_are_cut_off() -> None:
    pixels = np.zeros((60, 80), np.float32)
    assert content_box(pixels) == Box(0, 0, 60, 80)
    pixels[10:50, 5:70] = 0.5
    assert content_box(pixels) == Box(10, 5, 50, 70)
    assert to_square(pixels).min() == 0.5


def test_a_mirrored_crop_of_another_gamma_is_found_and_fits_and_another_image_does_not() -> None:
    one, other = (make_phantom(seed, (200, 200)).image / np.float32(255) for seed in (0, 1))
    crop = one[12:190, 16:196][:, ::-1] ** np.float32(0.7)
    squares = [to_square(image) for image in (crop, one, other)]
    found = {(c.first, c.second): c for c in find_candidates(squares)}[0, 1]
    assert found.flip == "horizontal"

    coarse = [to_coarse(square) for square in squares]
    first = flipped(coarse[0], found.flip)
    windows = fit_windows(np.stack([first, first]), np.stack(coarse[1:]), np.array([found.window] * 2))

    def fitted(index: int) -> float:
        return correlate_registered(flipped(squares[0], found.flip), squares[index], windows[index - 1])

    assert fitted(1) > 0.9
    assert abs(fitted(2)) < 0.3
    # of crops of 12 and 10 pixels above, 16 and 4 beside, of 200
    np.testing.assert_allclose(windows[0], (0.06, 0.95, 0.08, 0.98), atol=0.01)
