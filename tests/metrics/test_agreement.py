"""Limits of agreement."""

from __future__ import annotations

import numpy as np
import pytest

from bus_monai.metrics.agreement import bland_altman
from bus_monai.metrics.case_scores import score_case
from bus_monai.metrics.case_table import CaseRow


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
    assert result.unit == "pixels"


def test_square_millimetres_where_all_are_known() -> None:
    known = [row("a", 12, 10, (0.5, 0.5)), row("b", 20, 20, (0.5, 0.5))]
    result = bland_altman(known)
    assert result is not None
    assert (result.unit, result.difference.tolist()) == ("mm²", [0.5, 0])
    mixed = bland_altman([*known, row("c", 3, 3)])
    assert mixed is not None
    assert mixed.unit == "pixels"
    assert bland_altman(known[:1]) is None
