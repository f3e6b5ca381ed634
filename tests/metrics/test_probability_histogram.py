"""Probabilities by bin."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bus_monai.metrics.probability_histogram import BINS, CENTRES, EDGES, probability_histogram


def test_bins_are_in_order_and_each_holds_its_centre() -> None:
    assert np.all(np.diff(CENTRES) >= 0)
    for i, centre in enumerate(CENTRES[1:-1], start=1):
        assert np.flatnonzero(probability_histogram(np.array([centre]))).tolist() == [i]
    assert probability_histogram(np.array([0.0, 1.0]))[:: BINS - 1] == (1, 1)


@given(hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(0, 1, width=32)))
def test_thresholding_at_a_border_splits_no_bin(probabilities: NDArray) -> None:
    counts = probability_histogram(probabilities)
    assert len(counts) == BINS
    assert sum(counts) == probabilities.size
    half = int(np.flatnonzero(EDGES == 0.5)[0])
    assert sum(counts[half + 1 :]) == np.count_nonzero(probabilities >= 0.5)
