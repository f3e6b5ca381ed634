"""The box around a mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.detection.mask_box import mask_box


@settings(max_examples=50, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 5)), min_size=1))
def test_the_smallest_box_that_holds_all_pixels(pixels: set[tuple[int, int]]) -> None:
    mask = np.zeros((9, 6), dtype=bool)
    mask[tuple(np.array(sorted(pixels)).T)] = True
    rows, columns = zip(*pixels, strict=True)
    assert mask_box(mask) == (min(columns), min(rows), max(columns) + 1, max(rows) + 1)


def test_an_empty_mask_has_none() -> None:
    with pytest.raises(ValueError, match=r"^An empty mask has no box.$"):
        mask_box(np.zeros((3, 3), dtype=bool))
