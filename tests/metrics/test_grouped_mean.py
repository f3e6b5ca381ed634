"""The mean and its interval against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.metrics.grouped_mean import grouped_mean


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcdefgh")), min_size=1, max_size=30))
def test_the_mean_is_that_of_all_values_and_lies_in_its_interval(cases: list[tuple[float, str]]) -> None:
    values, groups = zip(*cases, strict=True)
    mean = grouped_mean(values, groups)
    assert mean.value == pytest.approx(np.mean(values))
    if len(set(groups)) == 1:
        assert mean.low is mean.high is None
    else:
        assert mean.low - 1e-12 <= mean.value <= mean.high + 1e-12


def test_the_interval_is_that_of_drawing_whole_groups() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{i // 4}" for i in range(160)]
    values = np.repeat(rng.random(40), 4)
    mean = grouped_mean(values, groups)
    of_group = values[::4]
    draws = [of_group[rng.integers(40, size=40)].mean() for _ in range(4000)]
    assert (mean.low, mean.high) == pytest.approx(tuple(np.percentile(draws, (2.5, 97.5))), abs=0.012)
    # four times as many values say no more when they are the same
    narrow = grouped_mean(values, [str(i) for i in range(160)])
    assert (narrow.high - narrow.low) < 0.6 * (mean.high - mean.low)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="0 values and 0 groups"):
        grouped_mean([], [])
