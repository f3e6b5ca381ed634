"""Scores of one case, against plain loops and MONAI."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.extra.numpy import arrays
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_distance import compute_average_surface_distance
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bus_monai.metrics.segmentation import (
    BIN_CENTERS,
    BIN_COUNT,
    BIN_EDGES,
    M_IOU_THRESHOLDS,
    CaseScores,
    probability_histogram,
    score_case,
)

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
FOREGROUND = ("dice", "iou", "precision", "sensitivity")
DISTANCES = ("hd95_px", "assd_px", "hd95_mm", "assd_mm")


def pair() -> st.SearchStrategy[tuple[NDArray, NDArray]]:
    probabilities = st.floats(0, 1, width=32)
    return SHAPES.flatmap(
        lambda shape: st.tuples(arrays(np.float32, shape, elements=probabilities), arrays(np.bool_, shape))
    )


def blob(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    smooth = gaussian_filter(rng.normal(size=shape), 4)
    return smooth > np.quantile(smooth, rng.uniform(0.5, 0.97))


def test_scores_of_a_small_mask_computed_by_hand() -> None:
    truth = np.zeros((4, 5))
    truth[1:3, 1:3] = 1
    probability = np.full((4, 5), 0.2)
    probability[1:3, 2:4] = 0.72

    scores = score_case(probability, truth)

    assert (scores.tp, scores.fp, scores.fn, scores.tn) == (2, 2, 2, 14)
    assert scores.accuracy == pytest.approx(16 / 20)
    assert scores.dice == pytest.approx(1 / 2)
    assert scores.iou == pytest.approx(1 / 3)
    assert scores.precision == pytest.approx(1 / 2)
    assert scores.sensitivity == pytest.approx(1 / 2)
    assert scores.specificity == pytest.approx(14 / 16)
    # up to 0.70 the four pixels are lesion, at 0.75 and above none is: IoU 1/3 and 14/18, then 0 and 16/20
    assert scores.m_iou == pytest.approx((5 * (1 / 3 + 14 / 18) / 2 + 5 * (0 + 16 / 20) / 2) / 10)
    # each mask is its own boundary; in each direction two distances are 0 and two are 1
    assert scores.assd_px == pytest.approx(1 / 2)
    assert scores.hd95_px == pytest.approx(1)
    assert (scores.hd95_mm, scores.assd_mm, scores.predicted_area_mm2, scores.true_area_mm2) == (None,) * 4
    assert (scores.predicted_area_px, scores.true_area_px) == (4, 4)
    assert scores.has_lesion
    assert not scores.false_positive
    assert not scores.missed


def test_hd95_interpolates_the_percentile_and_takes_the_worse_direction() -> None:
    truth, predicted = np.zeros((1, 40)), np.zeros((1, 40))
    truth[0, 0] = 1
    predicted[0, [0, 10]] = 1
    # to the truth: 0 and 10, of which the 95th percentile is 9.5; back: 0
    scores = score_case(predicted, truth)
    assert scores.hd95_px == pytest.approx(9.5)
    assert scores.assd_px == pytest.approx(10 / 3)


def test_perfect_prediction() -> None:
    truth = np.zeros((6, 6), dtype=np.uint8)
    truth[2:4, 1:5] = 1
    scores = score_case(truth.astype(np.float32), truth, spacing_mm=(0.1, 0.2))
    assert [getattr(scores, name) for name in (*FOREGROUND, "accuracy", "specificity", "m_iou")] == [1.0] * 7
    assert [getattr(scores, name) for name in DISTANCES] == [0.0] * 4


def test_a_lesion_for_which_nothing_is_predicted_is_the_diagonal_away() -> None:
    truth = np.zeros((30, 40))
    truth[10:20, 10:20] = 1
    scores = score_case(np.zeros((30, 40)), truth, spacing_mm=(0.2, 0.1))
    assert [getattr(scores, name) for name in FOREGROUND] == [0.0] * 4
    assert (scores.hd95_px, scores.assd_px) == (50.0, 50.0)
    assert scores.hd95_mm == scores.assd_mm == pytest.approx(math.hypot(6, 4))
    assert scores.specificity == 1.0
    assert scores.missed


def test_a_prediction_beside_the_lesion_misses_it_but_has_its_true_distance() -> None:
    truth, predicted = np.zeros((5, 9)), np.zeros((5, 9))
    truth[2, 1] = predicted[2, 5] = 1
    scores = score_case(predicted, truth)
    assert scores.missed
    assert (scores.dice, scores.hd95_px, scores.assd_px) == (0.0, 4.0, 4.0)


@pytest.mark.parametrize("area", [0, 3])
def test_a_normal_case_has_specificity_and_area_and_no_overlap(area: int) -> None:
    predicted = np.zeros((4, 5))
    predicted[0, :area] = 1
    scores = score_case(predicted, np.zeros((4, 5)), spacing_mm=(0.5, 2.0))
    assert not scores.has_lesion
    assert [getattr(scores, name) for name in (*FOREGROUND, "m_iou", *DISTANCES)] == [None] * 9
    assert scores.specificity == scores.accuracy == pytest.approx(1 - area / 20)
    assert scores.false_positive == (area > 0)
    assert (scores.predicted_area_px, scores.predicted_area_mm2, scores.true_area_mm2) == (area, area * 1.0, 0.0)
    assert not scores.missed


def test_a_lesion_that_fills_the_image_leaves_no_specificity() -> None:
    scores = score_case(np.ones((3, 3)), np.ones((3, 3)))
    assert (scores.specificity, scores.m_iou, scores.dice) == (None, 1.0, 1.0)


def test_spacing_is_that_of_rows_and_columns() -> None:
    truth, across, down = np.zeros((9, 9)), np.zeros((9, 9)), np.zeros((9, 9))
    truth[4, 4] = across[4, 7] = down[7, 4] = 1
    assert score_case(across, truth, spacing_mm=(0.1, 0.2)).hd95_mm == pytest.approx(0.6)
    assert score_case(down, truth, spacing_mm=(0.1, 0.2)).hd95_mm == pytest.approx(0.3)
    assert score_case(down, truth, spacing_mm=(0.1, 0.2)).true_area_mm2 == pytest.approx(0.02)


def test_a_pixel_at_the_threshold_is_lesion() -> None:
    truth = np.array([[1, 0]])
    assert score_case(np.array([[0.5, 0.49]]), truth).dice == 1.0
    assert score_case(np.array([[0.5, 0.49]]), truth, threshold=0.4).precision == 0.5


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.3, 0.3), (0.07, 0.21)])
@pytest.mark.parametrize("seed", range(6))
def test_distances_equal_those_of_monai(seed: int, spacing: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = blob(rng, (41, 57)), blob(rng, (41, 57))
    scores = score_case(predicted.astype(np.float32), truth, spacing_mm=spacing)
    a, b = (torch.from_numpy(mask.astype(np.float32))[None, None] for mask in (predicted, truth))
    for ours_hd95, ours_assd, reference in (
        (scores.hd95_px, scores.assd_px, None),
        (scores.hd95_mm, scores.assd_mm, list(spacing)),
    ):
        hd95 = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=reference).item()
        assd = compute_average_surface_distance(a, b, include_background=True, symmetric=True, spacing=reference).item()
        assert ours_hd95 == pytest.approx(hd95, rel=1e-5)
        assert ours_assd == pytest.approx(assd, rel=1e-5)


@given(pair())
def test_m_iou_is_the_mean_over_classes_and_thresholds(masks: tuple[NDArray, NDArray]) -> None:
    probability, truth = masks
    values = []
    for threshold in M_IOU_THRESHOLDS:
        predicted = probability >= threshold
        classes = [(predicted, truth), (~predicted, ~truth)]
        values.append(np.mean([(a & b).sum() / (a | b).sum() for a, b in classes if (a | b).any()]))
    assert score_case(probability, truth).m_iou == (pytest.approx(np.mean(values)) if truth.any() else None)


def test_thresholds_of_m_iou_are_those_of_the_paper() -> None:
    assert M_IOU_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@given(pair())
def test_counts_and_identities(masks: tuple[NDArray, NDArray]) -> None:
    probability, truth = masks
    scores = score_case(probability, truth)
    assert scores.tp + scores.fp + scores.fn + scores.tn == truth.size
    assert (scores.tp + scores.fp, scores.tp + scores.fn) == (scores.predicted_area_px, scores.true_area_px)
    assert min(scores.tp, scores.fp, scores.fn, scores.tn) >= 0
    if scores.has_lesion:
        assert scores.dice is not None
        assert scores.iou is not None
        assert scores.dice == pytest.approx(2 * scores.iou / (1 + scores.iou))


@given(pair(), st.tuples(st.floats(0.01, 2), st.floats(0.01, 2)))
def test_an_empty_prediction_of_a_lesion_improves_nothing(
    masks: tuple[NDArray, NDArray], spacing: tuple[float, float]
) -> None:
    probability, truth = masks
    truth = truth.copy()
    truth[0, 0] = True
    scores = score_case(probability, truth, spacing_mm=spacing)
    empty = score_case(np.zeros_like(probability), truth, spacing_mm=spacing)
    for name in FOREGROUND:
        assert getattr(empty, name) == 0.0 <= getattr(scores, name)
    for name in DISTANCES:
        assert getattr(empty, name) > getattr(scores, name) * (1 - 1e-9)
    assert all(value is not None and math.isfinite(value) for value in distances(scores) + distances(empty))


def distances(scores: CaseScores) -> list[float | None]:
    return [getattr(scores, name) for name in DISTANCES]


def test_metrics_that_count_background_may_reward_an_empty_prediction() -> None:
    truth, everything = np.zeros((10, 10)), np.ones((10, 10))
    truth[0, 0] = 1
    full, empty = score_case(everything, truth), score_case(np.zeros((10, 10)), truth)
    assert (full.accuracy, empty.accuracy) == (0.01, 0.99)
    assert (full.specificity, empty.specificity) == (0.0, 1.0)
    assert full.m_iou == pytest.approx(0.005)
    assert empty.m_iou == pytest.approx(0.495)
    assert full.dice is not None
    assert full.dice > 0 == empty.dice


@given(masks=pair(), turns=st.integers(0, 3), mirror=st.booleans())
@settings(max_examples=50)
def test_scores_do_not_depend_on_the_orientation(masks: tuple[NDArray, NDArray], turns: int, mirror: bool) -> None:
    probability, truth = masks
    moved = tuple(np.rot90(mask, turns)[:, :: -1 if mirror else 1] for mask in masks)
    first, second = score_case(probability, truth), score_case(*moved)
    assert (first.hd95_px, first.assd_px, first.m_iou) == pytest.approx((second.hd95_px, second.assd_px, second.m_iou))
    assert (first.tp, first.fp, first.fn) == (second.tp, second.fp, second.fn)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probability": np.zeros((1, 3, 3))}, r"probability must have the shape \(H, W\), got \(1, 3, 3\)\."),
        ({"probability": np.zeros((0, 3))}, r"probability must have the shape \(H, W\), got \(0, 3\)\."),
        ({"truth": np.zeros((3, 4))}, r"truth must have the shape of probability, \(3, 3\), got \(3, 4\)\."),
        ({"probability": np.full((3, 3), -2.5)}, r"probability must lie in \[0, 1\], got -2\.5 to -2\.5\."),
        ({"probability": np.eye(3) * 2.5}, r"probability must lie in \[0, 1\], got 0\.0 to 2\.5\."),
        ({"probability": np.full((3, 3), np.nan)}, r"probability must lie in \[0, 1\], got nan to nan\."),
        ({"truth": np.full((3, 3), 255)}, r"truth must hold 0 and 1 alone\."),
        ({"threshold": 0.0}, r"threshold must lie in \(0, 1\], got 0\.0\."),
        ({"spacing_mm": (0.1, math.nan)}, r"spacing_mm must be two positive numbers or None, got \(0\.1, nan\)\."),
    ],
)
def test_wrong_arguments_are_named(changes: dict, message: str) -> None:
    arguments = {"probability": np.zeros((3, 3)), "truth": np.zeros((3, 3))} | changes
    with pytest.raises(ValueError, match=f"^{message}$"):
        score_case(arguments.pop("probability"), arguments.pop("truth"), **arguments)


def test_rounding_of_an_interpolation_is_accepted() -> None:
    assert score_case(np.array([[1.00001, -0.00001]]), np.array([[1, 0]])).dice == 1.0


def test_bins_are_in_order_and_each_holds_its_center() -> None:
    assert np.all(np.diff(BIN_CENTERS) >= 0)
    for i, center in enumerate(BIN_CENTERS[1:-1], start=1):
        assert np.flatnonzero(probability_histogram(np.array([center]))).tolist() == [i]
    assert probability_histogram(np.array([0.0, 1.0]))[:: BIN_COUNT - 1] == (1, 1)


@given(hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(0, 1, width=32)))
def test_thresholding_at_a_border_splits_no_bin(probabilities: NDArray) -> None:
    counts = probability_histogram(probabilities)
    assert len(counts) == BIN_COUNT
    assert sum(counts) == probabilities.size
    half = int(np.flatnonzero(BIN_EDGES == 0.5)[0])
    assert sum(counts[half + 1 :]) == np.count_nonzero(probabilities >= 0.5)
