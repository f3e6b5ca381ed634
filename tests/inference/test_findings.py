"""What is too small and what is too much, for any mask."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from bus_monai.inference.findings import MOST_LESIONS, find_findings, smallest_area


@settings(deadline=None, max_examples=50)
@given(arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24))), st.integers(0, 6))
def test_the_largest_are_kept_and_the_rest_is_counted(mask: np.ndarray, least: int) -> None:
    found = find_findings(mask.astype(np.float32), 0.5, spacing_mm=(0.5, 2.0), min_area=least)
    sizes = sorted(np.bincount(ndimage.label(mask, np.ones((3, 3)))[0].ravel())[1:].tolist(), reverse=True)
    large = [size for size in sizes if size >= least]
    assert [lesion.area for lesion in found.lesions] == large[:MOST_LESIONS]
    assert (found.specks, found.surplus) == (len(sizes) - len(large), len(large[MOST_LESIONS:]))
    assert np.bincount(found.labels.ravel())[1:].tolist() == large[:MOST_LESIONS]
    assert not (found.labels.astype(bool) & ~mask).any()


def test_the_default_is_a_disc_of_two_millimetres() -> None:
    assert smallest_area(600, (0.1, 0.1), None) == pytest.approx(pi)
    assert smallest_area(600, None, None) == pytest.approx(pi * 100)  # 20 pixels across
    assert smallest_area(600, None, 7) == smallest_area(600, (0.1, 0.1), 7) == 7
