"""What is compared of two images: ranks, within black margins, at the window that fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.data.registration import content_box, equalize, to_square
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
