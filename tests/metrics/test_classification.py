"""Classification figures: by hand, and AUC against all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from bus_monai.metrics.classification import (
    ClassFigures,
    Interval,
    auc,
    class_figures,
    confusion_matrix,
    macro_auc,
    macro_f1,
    summarize_classes,
)


def test_by_hand() -> None:
    true = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 2, 2])
    assert confusion_matrix(predicted, true, 4).tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    scores = np.eye(4)[predicted]
    first, second, third, fourth = class_figures(scores, true)
    assert first == ClassFigures(3, 1.0, pytest.approx(2 / 3), pytest.approx(0.8), pytest.approx(5 / 6))
    assert second == ClassFigures(2, 0.5, 0.5, 0.5, pytest.approx(5 / 8))
    assert third == ClassFigures(1, 0.5, 1.0, pytest.approx(2 / 3), pytest.approx(0.9))
    assert fourth == ClassFigures(0, None, None, None, None)
    summary = summarize_classes(scores, true, list("abcdef"), resamples=100)
    assert summary.accuracy.value == pytest.approx(4 / 6)
    assert summary.macro_f1.value == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert summary.macro_auc.value == pytest.approx((5 / 6 + 5 / 8 + 0.9) / 3)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=20))
def test_auc_is_the_share_of_ordered_pairs(cases: list[tuple[int, bool]]) -> None:
    pairs = [(a > b) + (a == b) / 2 for a, x in cases for b, y in cases if x and not y]
    value = auc(np.array([s for s, _ in cases], float), np.array([x for _, x in cases]))
    assert value == (pytest.approx(np.mean(pairs)) if pairs else None)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30))
def test_what_the_bootstrap_repeats_is_what_scikit_learn_computes(cases: list[tuple[int, int, int]]) -> None:
    true, told, confidence = np.array(cases).T
    scores = np.eye(4)[told] * (0.5 + confidence[:, None] / 10)
    assert macro_f1(scores, true) == pytest.approx(metrics.f1_score(true, told, average="macro"))
    areas = [metrics.roc_auc_score(true == c, scores[:, c]) for c in set(true.tolist()) if not (true == c).all()]
    assert macro_auc(scores, true) == pytest.approx(np.mean(areas) if areas else np.nan, nan_ok=True)


def test_what_does_not_fit_is_named() -> None:
    scores, true = np.full((2, 3), 1 / 3), np.array([0, 1])
    with pytest.raises(ValueError, match=r"scores .*\(2,\) and \(2, 3\)"):
        macro_f1(true, scores)
    with pytest.raises(ValueError, match=r"truth .* from 0 to 2"):
        class_figures(scores, np.array([0, 3]))
    with pytest.raises(ValueError, match=r"scores and positive .*\(2,\) and \(3,\)"):
        auc(np.array([0.1, 0.2]), np.array([True, False, True]))


def test_interval_draws_whole_groups() -> None:
    """Copies of a case in its group leave the interval as it is; as groups of their own they narrow it."""
    rng = np.random.default_rng(0)
    true, scores = rng.integers(4, size=40), rng.random((40, 4))
    groups = [str(i) for i in range(40)]
    once = summarize_classes(scores, true, groups, resamples=200)
    copies = summarize_classes(scores.repeat(5, axis=0), true.repeat(5), list(np.repeat(groups, 5)), resamples=200)
    apart = summarize_classes(scores.repeat(5, axis=0), true.repeat(5), [str(i) for i in range(200)], resamples=200)
    for name in ("accuracy", "macro_f1", "macro_auc"):
        first, second, third = (getattr(s, name) for s in (once, copies, apart))
        assert (second.low, second.high) == pytest.approx((first.low, first.high))
        assert first.low < first.value < first.high
        assert third.high - third.low < 0.6 * (first.high - first.low)


def test_coverage_of_the_interval_of_accuracy() -> None:
    """Half of the cases right: the interval of 100 groups is near 0.5 +- 1.96 * 0.05."""
    true = np.arange(100) % 2
    scores = np.eye(2)[np.arange(100) // 2 % 2]
    accuracy = summarize_classes(scores, true, [str(i) for i in range(100)], resamples=1000).accuracy
    assert accuracy.value == 0.5
    assert (accuracy.low, accuracy.high) == pytest.approx((0.402, 0.598), abs=0.02)


def test_a_single_group_gives_no_interval() -> None:
    summary = summarize_classes(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]), ["a", "a"])
    assert summary.accuracy == Interval(0.5, None, None)
    assert summary.macro_auc is None


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="1 scores, 2 classes and 2 groups"):
        summarize_classes(np.ones((1, 2)), np.array([0, 0]), ["a", "a"])
