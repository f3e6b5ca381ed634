"""Curves from histograms against the pixels themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.operating_curves import bland_altman, operating_curves
from bus_monai.metrics.segmentation import score_case


def row(id: str, predicted: int, true: int, spacing: tuple[float, float] | None = None) -> CaseRow:
    p, t = (np.arange(100).reshape(10, 10) < n for n in (predicted, true))
    return CaseRow.of(score_case(p * 1.0, t, spacing_mm=spacing), id=id, group=id, diagnosis="unknown")


def test_bias_and_limits() -> None:
    result = bland_altman([row("a", 12, 10), row("b", 20, 20), row("c", 26, 30), row("normal", 5, 0)])
    assert result is not None
    assert result.difference.tolist() == [2, 0, -4]
    assert result.mean.tolist() == [11, 20, 28]
    assert result.bias == pytest.approx(-2 / 3)
    assert result.high - result.bias == pytest.approx(1.96 * np.std([2, 0, -4], ddof=1))
    assert result.unit == "px"


def test_square_millimeters_where_all_are_known() -> None:
    known = [row("a", 12, 10, (0.5, 0.5)), row("b", 20, 20, (0.5, 0.5))]
    result = bland_altman(known)
    assert result is not None
    assert (result.unit, result.difference.tolist()) == ("mm²", [0.5, 0])
    mixed = bland_altman([*known, row("c", 3, 3)])
    assert mixed is not None
    assert mixed.unit == "px"
    assert bland_altman(known[:1]) is None


def case(seed: int) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((40, 50)) < 0.2
    logits = rng.normal(np.where(truth, 1.5, -1.5), 2)
    return 1 / (1 + np.exp(-logits)), truth


def rows(seeds: range) -> list[CaseRow]:
    return [CaseRow.of(score_case(*case(s)), id=f"c{s}", group=f"c{s}", diagnosis="benign") for s in seeds]


def test_areas_and_calibration_are_those_of_the_pixels() -> None:
    curves = operating_curves(rows(range(4)))
    assert curves is not None
    probability, truth = (np.concatenate([case(s)[i].ravel() for s in range(4)]) for i in (0, 1))
    lesion, background = probability[truth], probability[~truth]
    # probability that a lesion pixel scores higher than one of the background (Hanley and McNeil 1982)
    assert curves.auc == pytest.approx((lesion[:, None] > background[None]).mean(), abs=2e-3)
    order = np.argsort(-probability)
    precision = np.cumsum(truth[order]) / np.arange(1, truth.size + 1)
    assert curves.average_precision == pytest.approx(precision[truth[order]].mean(), abs=0.01)
    tenth = np.minimum((probability * 10).astype(int), 9)
    expected = sum(abs(probability[tenth == b].sum() - truth[tenth == b].sum()) for b in range(10)) / truth.size
    assert curves.calibration_error == pytest.approx(expected, abs=0.01)
    assert curves.share.sum() == pytest.approx(1)


def test_a_perfect_and_a_reversed_model() -> None:
    truth = np.zeros((8, 8), dtype=bool)
    truth[2:5, 2:5] = True
    for probability, auc in ((truth * 1.0, 1.0), (1.0 - truth, 0.0), (np.full(truth.shape, 0.3), 0.5)):
        row = CaseRow.of(score_case(probability, truth), id="a", group="a", diagnosis="benign")
        curves = operating_curves([row])
        assert curves is not None
        assert curves.auc == pytest.approx(auc)


def test_without_lesion_there_are_no_curves() -> None:
    normal = CaseRow.of(score_case(np.zeros((4, 4)), np.zeros((4, 4))), id="n", group="n", diagnosis="normal")
    assert operating_curves([normal]) is None
    assert operating_curves([]) is None
