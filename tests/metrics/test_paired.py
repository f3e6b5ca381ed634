"""Paired tests and ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.errors import UserError
from bus_monai.metrics.case_scores import score_case
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.paired import _holm, paired_tests, ranking


def row(id: str, hits: int, group: str | None = None, true: int = 50) -> CaseRow:
    predicted, truth = (np.arange(100).reshape(10, 10) < n for n in (hits, true))
    return CaseRow.of(score_case(predicted * 1.0, truth), id=id, group=group or id, diagnosis="benign")


def table(hits: list[int]) -> list[CaseRow]:
    return [row(f"c{i:02d}", n) for i, n in enumerate(hits)]


GOOD, BAD = table([40, 42, 44, 46, 48, 50, 41, 43]), table([20, 25, 22, 29, 24, 21, 23, 28])


def test_a_model_that_always_wins() -> None:
    test = paired_tests({"good": GOOD, "bad": BAD})[0]
    assert (test.first, test.second, test.groups) == ("good", "bad", 8)
    # all 8 signs alike: 2 of 2^8 ways
    assert test.p == pytest.approx(2 / 2**8)
    assert test.effect == 1
    assert test.difference == pytest.approx(np.mean([g.dice - b.dice for g, b in zip(GOOD, BAD, strict=True)]))
    assert paired_tests({"bad": BAD, "good": GOOD})[0].effect == -1


def test_equal_models_do_not_differ() -> None:
    test = paired_tests({"a": GOOD, "b": GOOD})[0]
    assert (test.p, test.p_holm, test.effect, test.difference) == (1, 1, 0, 0)


def test_a_group_counts_once() -> None:
    one = [row("a", 40, "p"), row("b", 20, "p"), row("c", 30, "q")]
    two = [row("a", 30, "p"), row("b", 30, "p"), row("c", 20, "q")]
    assert paired_tests({"one": one, "two": two})[0].groups == 2


def test_ranks_and_critical_difference() -> None:
    result = ranking({"bad": BAD, "good": GOOD, "middle": table([30] * 8)})
    assert list(result.ranks.items()) == [("good", 1), ("middle", 2), ("bad", 3)]
    # Demsar 2006, table 5: q is 2.343 for three models
    assert result.critical_difference == pytest.approx(2.343 * np.sqrt(3 * 4 / (6 * 8)), rel=1e-3)
    assert result.p == pytest.approx(np.exp(-8), rel=1e-3)
    assert list(ranking({"bad": BAD, "good": GOOD}, "hd95_px").ranks) == ["good", "bad"]


def test_holm_against_the_definition() -> None:
    assert _holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_never_lowers_and_keeps_the_order(p: list[float]) -> None:
    corrected = _holm(p)
    assert all(a <= b <= 1 for a, b in zip(p, corrected, strict=True))
    assert all(corrected[i] <= corrected[j] for i in range(len(p)) for j in range(len(p)) if p[i] < p[j])


def test_different_cases_are_not_compared() -> None:
    with pytest.raises(UserError) as error:
        paired_tests({"a": GOOD, "b": GOOD[1:]})
    assert str(error.value) == (
        "'a' and 'b' were evaluated on different cases (1 differ, such as 'c00'): evaluate both on the same data, "
        "split and size."
    )
    with pytest.raises(UserError, match=r"^A comparison needs two or more evaluations"):
        ranking({"a": GOOD})
