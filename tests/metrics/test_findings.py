"""Lesions are counted one by one, findings are matched, and their probabilities are what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.ndimage import label

from bus_monai.metrics.findings import (
    MIN_IOU,
    Calibration,
    Detections,
    Finding,
    count_detections,
    findings_curve,
    fit_calibration,
    match_findings,
    reliability,
)

masks = hnp.arrays(bool, (9, 11), elements=st.booleans())


def plain(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Detections:
    (a, n), (b, m) = label(truth, np.ones((3, 3))), label(predicted, np.ones((3, 3)))

    def hit(i: int, j: int) -> bool:
        both = ((a == i) & (b == j)).sum()
        return both >= MIN_IOU * ((a == i) | (b == j)).sum()

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


def screen() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Two lesions: one found twice, by 0.9 and by 0.7 in a part of it, one missed; and a false finding of 0.6."""
    probability, truth = np.zeros((60, 60), np.float32), np.zeros((60, 60), bool)
    truth[5:25, 5:25] = truth[40:50, 40:50] = True
    probability[5:20, 5:25], probability[21:25, 5:25], probability[40:46, 5:11] = 0.9, 0.7, 0.6
    return probability, truth


def test_a_lesion_is_found_once_by_the_surest() -> None:
    probability, truth = screen()
    assert match_findings(probability, truth) == (Finding(0.9, 1), Finding(0.7, 0), Finding(0.6, 0))
    assert match_findings(probability, truth, threshold=0.8) == (Finding(0.9, 1),)
    assert match_findings(probability, np.zeros_like(truth)) == (Finding(0.9, 0), Finding(0.7, 0), Finding(0.6, 0))


def test_what_segment_leaves_out_is_no_finding() -> None:
    probability, truth = screen()
    # 36 pixels of 0.05 mm2 are less than a disk of 2 mm across, 80 are more
    spacing = (0.05**0.5, 0.05**0.5)
    assert match_findings(probability, truth, spacing_mm=spacing) == (Finding(0.9, 1), Finding(0.7, 0))


def test_a_calibrated_finding_tells_the_chance() -> None:
    (finding, *_) = match_findings(*screen(), calibration=Calibration(2.0, -1.0))
    assert finding.probability == pytest.approx(1 / (1 + np.exp(1 - 2 * np.log(9))))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 20), st.floats(-20, 20))
def test_the_chance_keeps_the_order_and_its_bounds(a: float, b: float, slope: float, intercept: float) -> None:
    chance = Calibration(slope, intercept)
    assert 0.01 <= chance(min(a, b)) <= chance(max(a, b)) <= 0.99


def test_a_fitted_calibration_tells_the_shares_it_was_drawn_from() -> None:
    random = np.random.default_rng(0)
    true = Calibration(2.5, -2.0)
    means = random.uniform(0.5, 0.98, 20_000)
    findings = [Finding(mean, int(random.random() < true(mean))) for mean in means]
    fitted = fit_calibration(findings)
    assert (fitted.slope, fitted.intercept) == pytest.approx((2.5, -2.0), abs=0.1)
    told = reliability([Finding(fitted(mean), lesion) for mean, lesion in findings])
    before = reliability(findings)
    assert told is not None
    assert before is not None
    assert told.calibration_error < 0.015 < 0.1 < before.calibration_error
    assert told.brier < before.brier


def test_findings_of_one_kind_fit_no_calibration() -> None:
    with pytest.raises(ValueError, match="none"):
        fit_calibration([Finding(0.9, 1), Finding(0.6, 2)])


def test_reliability_by_hand() -> None:
    told = reliability([Finding(1.0, 1), Finding(0.9, 0), Finding(0.55, 1)])
    assert told is not None
    assert told.count.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    assert told.confidence[[5, 9]] == pytest.approx([0.55, 0.95])
    assert told.frequency[[5, 9]].tolist() == [1.0, 0.5]
    assert told.calibration_error == pytest.approx((0.45 + 0.9) / 3)
    assert told.brier == pytest.approx((0.81 + 0.45**2) / 3)
    assert reliability([]) is None


def test_the_curve_counts_lesions_that_nothing_finds() -> None:
    probability, truth = screen()
    curve = findings_curve([(match_findings(probability, truth), 2), ((), 1), ((Finding(0.8, 0),), 0)])
    assert (curve.truths, curve.images) == (3, 3)
    assert curve.froc((0.0, 0.34, 1.0)) == pytest.approx({0.0: 1 / 3, 0.34: 1 / 3, 1.0: 1 / 3})
    assert curve.false_positives.tolist() == [0, 1, 2, 3]
