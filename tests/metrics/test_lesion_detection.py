"""Lesions are counted one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.ndimage import label

from bus_monai.metrics.lesion_detection import LEAST_IOU, Detections, count_detections

masks = hnp.arrays(bool, (9, 11), elements=st.booleans())


def plain(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Detections:
    (a, n), (b, m) = label(truth, np.ones((3, 3))), label(predicted, np.ones((3, 3)))

    def hit(i: int, j: int) -> bool:
        both = ((a == i) & (b == j)).sum()
        return both >= LEAST_IOU * ((a == i) | (b == j)).sum()

    found = sum(any(hit(i, j) for j in range(1, m + 1)) for i in range(1, n + 1))
    false = sum(not any(hit(i, j) for i in range(1, n + 1)) for j in range(1, m + 1))
    return Detections(n, found, false)


@given(predicted=masks, truth=masks)
def test_against_a_plain_loop(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
    assert count_detections(predicted, truth) == plain(predicted, truth)


@given(truth=masks)
def test_the_truth_finds_all_and_nothing_finds_none(truth: NDArray[np.bool_]) -> None:
    lesions = label(truth, np.ones((3, 3)))[1]
    assert count_detections(truth, truth) == Detections(lesions, lesions, 0)
    assert count_detections(np.zeros_like(truth), truth) == Detections(lesions, 0, 0)
    assert count_detections(truth, np.zeros_like(truth)) == Detections(0, 0, lesions)


def test_a_prediction_that_covers_all_finds_no_small_lesion() -> None:
    truth = np.zeros((20, 20), dtype=bool)
    truth[4:6, 4:6] = True
    assert count_detections(np.ones_like(truth), truth) == Detections(1, 0, 1)
