from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bus_monai.label.keep_numbers import keep_numbers


def test_lesions_grow_shrink_split_and_begin() -> None:
    before = np.array([[2, 2, 2, 0, 0, 0, 0, 3]], np.uint8)
    mask = np.array([[1, 0, 1, 1, 0, 1, 0, 0]], bool)
    assert keep_numbers(mask, before).tolist() == [[2, 0, 2, 2, 0, 1, 0, 0]]


def test_new_lesions_begin_with_the_largest() -> None:
    mask = np.array([[1, 0, 1, 1, 0, 1, 1, 1]], bool)
    assert keep_numbers(mask, np.zeros((1, 8), np.uint8)).tolist() == [[3, 0, 2, 2, 0, 1, 1, 1]]


@settings(max_examples=50, deadline=None)
@given(arrays(bool, (5, 6)), arrays(np.uint8, (5, 6), elements=st.integers(0, 3)))
def test_the_mask_is_labelled_and_what_stays_keeps_its_number(mask: np.ndarray, before: np.ndarray) -> None:
    after = keep_numbers(mask, before)
    np.testing.assert_array_equal(after > 0, mask)
    stays = mask & (before > 0)
    np.testing.assert_array_equal(after[stays], before[stays])
    np.testing.assert_array_equal(keep_numbers(mask, after), after)
