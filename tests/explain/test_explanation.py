"""The share of a map inside the lesion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bus_monai.explain.explanation import energy_inside

MAPS = arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32))
LESIONS = arrays(np.bool_, (4, 5))


@given(MAPS, LESIONS)
def test_inside_and_outside_make_all(values: np.ndarray, lesion: np.ndarray) -> None:
    inside, outside = energy_inside(values, lesion), energy_inside(values, ~lesion)
    if inside is not None and outside is not None:
        assert inside + outside == pytest.approx(1)
        assert 0 <= inside <= 1
    else:
        assert values.sum() == 0 or lesion.all() or not lesion.any()


@given(LESIONS.filter(np.any))
def test_a_map_that_knows_nothing_has_the_share_of_the_area(lesion: np.ndarray) -> None:
    assert energy_inside(np.full((4, 5), 0.3, np.float32), lesion) == pytest.approx(lesion.mean())


def test_without_lesion_or_energy_there_is_no_share() -> None:
    assert energy_inside(np.ones((2, 2)), np.zeros((2, 2), bool)) is None
    assert energy_inside(np.zeros((2, 2)), np.ones((2, 2), bool)) is None
