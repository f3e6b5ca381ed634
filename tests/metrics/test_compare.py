"""A comparison holds what its parts compute."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.metrics.aggregate import summarize
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.compare import (
    Comparison,
    _detectable,
    _holm,
    _wilcoxon,
    compare_robustness,
    paired_tests,
    pool_trainings,
    ranking,
    read_folds,
    score_folds,
    write_folds,
)
from bus_monai.metrics.segmentation import score_case
from tests.report.conftest import make_table
from tests.user_errors import raises_user_error


def table(shift: int) -> list[CaseRow]:
    """Six squares, each predicted ``shift`` columns to the right."""
    rows = []
    for i in range(6):
        truth = np.zeros((16, 24), dtype=bool)
        truth[2 : 6 + i, 2 : 6 + i] = True
        scores = score_case(np.roll(truth, shift, axis=1).astype(float), truth)
        rows.append(CaseRow.of(scores, id=f"c{i}", group=f"g{i}", diagnosis="benign"))
    return rows


@pytest.mark.parametrize("metric", ["dice", "hd95_px"])
def test_it_holds_what_its_parts_compute(metric: str) -> None:
    tables = {"far": table(3), "near": table(1), "there": table(0)}
    comparison = Comparison.of(tables, metric)
    assert comparison.tests == paired_tests(tables, metric)
    assert comparison.ranking == ranking(tables, metric)
    assert list(comparison.ranking.ranks) == ["there", "near", "far"]
    for name, rows in tables.items():
        assert list(comparison.summaries[name].values()) == list(summarize(rows, "lesion"))
    assert comparison.summaries["there"]["dice"].mean == 1.0


def test_tests_and_scores_are_of_the_same_cases() -> None:
    """Specificity is a score of the cases with a lesion, and so are its differences; false components are of all."""
    lesions = table(0)
    normal = np.zeros((16, 24), dtype=bool)
    clean, marked = score_case(0.0 * normal, normal), score_case(np.eye(16, 24), normal)
    tables = {
        name: [*lesions, *(CaseRow.of(scores, id=f"n{i}", group=f"n{i}", diagnosis="normal") for i in range(6))]
        for name, scores in (("marks", marked), ("clean", clean))
    }
    specificity = Comparison.of(tables, "specificity")
    assert specificity.summaries["marks"]["specificity"].mean == 1
    (test,) = specificity.tests
    assert (test.difference, test.p, test.groups) == (0, 1, 6)
    (test,) = paired_tests(tables, "false_components")
    assert (test.difference, test.groups) == (0.5, 12)


def test_the_order_in_which_scores_are_added_changes_nothing() -> None:
    def seed(number: int) -> list[CaseRow]:
        rng = np.random.default_rng(number)
        rows = [replace(row, id=f"{row.id}_{n}", group=f"{row.group}_{n}") for n in range(9) for row in table(1)]
        return [replace(row, dice=float(rng.random())) for row in rows]

    seeds = [seed(number) for number in range(3)]
    tables = {
        "one": pool_trainings("one", seeds),
        "other": pool_trainings("other", [seeds[2], seeds[0], seeds[1]]),
    }
    (test,) = paired_tests(tables)
    assert (test.difference, test.effect, test.p) == (0, 0, 1)
    assert ranking(tables).ranks == {"one": 1.5, "other": 1.5}


def test_counts_that_tie_are_ties_as_means_of_three_images() -> None:
    """Means of three images differ from each other by thirds alone, and so do their differences."""
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 4, (2, 24, 3))
    (row,) = table(1)[:1]
    tables = {
        name: [
            replace(row, id=f"{group}_{image}", group=f"g{group}", false_components=int(count))
            for (group, image), count in np.ndenumerate(values)
        ]
        for name, values in zip(("one", "other"), counts, strict=True)
    }
    (test,) = paired_tests(tables, "false_components")
    moved = (counts[0] - counts[1]).sum(axis=1)
    assert test.p == pytest.approx(_wilcoxon(moved.astype(float)), abs=1e-12)


def test_other_cases_are_refused() -> None:
    other = [replace(row, id=f"x{row.id}") for row in table(0)]
    with raises_user_error("one", "other", 12):
        Comparison.of({"one": table(0), "other": other})


@pytest.mark.parametrize("metric", ["fp", "fn", "false_components", "assd_px", "dice", "tp", "tn", "m_iou"])
def test_the_better_model_comes_first(metric: str) -> None:
    tables = {"bad": table(6), "good": table(0)}
    assert list(ranking(tables, metric).ranks) == ["good", "bad"]


@pytest.mark.parametrize("metric", ["predicted_area_px", "true_area_mm2", "lesions", "findings", "group", "foo"])
def test_what_has_no_better_direction_is_not_compared(metric: str) -> None:
    with raises_user_error(repr(metric), "dice", "false_components", key="metric"):
        Comparison.of({"bad": table(2), "good": table(0)}, metric)


def test_tables_of_other_groups_are_refused() -> None:
    by_patient = [replace(row, group="c0") for row in table(0)]
    by_image = [replace(row, group=row.id) for row in table(2)]
    with raises_user_error("one", "other", "c1"):
        paired_tests({"one": by_image, "other": by_patient})
    with raises_user_error("seeds", "c1"):
        pool_trainings("seeds", [by_image, by_patient])


def test_a_metric_that_one_model_lacks_is_refused() -> None:
    known = [replace(row, hd95_mm=1.0) for row in table(0)]
    for tables in ({"one": known, "other": table(2)}, {"other": table(2), "one": known}):
        with raises_user_error("hd95_mm", "one", "other", "c0"):
            paired_tests(tables, "hd95_mm")


def row(id: str, hits: int, group: str | None = None, true: int = 50) -> CaseRow:
    predicted, truth = (np.arange(100).reshape(10, 10) < n for n in (hits, true))
    return CaseRow.of(score_case(predicted * 1.0, truth), id=id, group=group or id, diagnosis="benign")


def table_paired(hits: list[int]) -> list[CaseRow]:
    return [row(f"c{i:02d}", n) for i, n in enumerate(hits)]


GOOD, BAD = table_paired([40, 42, 44, 46, 48, 50, 41, 43]), table_paired([20, 25, 22, 29, 24, 21, 23, 28])


def test_a_model_that_always_wins() -> None:
    test = paired_tests({"good": GOOD, "bad": BAD})[0]
    assert (test.first, test.second, test.groups) == ("good", "bad", 8)
    # all 8 signs alike: 2 of 2^8 ways
    assert test.p == pytest.approx(2 / 2**8)
    assert test.effect == 1
    assert test.difference == pytest.approx(np.mean([g.dice - b.dice for g, b in zip(GOOD, BAD, strict=True)]))
    assert paired_tests({"bad": BAD, "good": GOOD})[0].effect == -1


def test_the_interval_is_paired_and_of_the_sign_of_the_difference() -> None:
    """Each case of one model is better by the same amount, so that the paired interval has no width."""
    best, worse = table_paired([50, 40, 30, 20]), table_paired([45, 36, 27, 18])
    test, turned = (paired_tests(tables)[0] for tables in ({"a": best, "b": worse}, {"b": worse, "a": best}))
    assert 0 < test.low <= test.difference <= test.high
    assert (turned.low, turned.high) == pytest.approx((-test.high, -test.low), abs=0.01)
    wide = summarize(best, "lesion")[0]
    # unpaired, the cases differ far more than the models do
    assert test.high - test.low < 0.2 * (wide.high - wide.low)
    assert paired_tests({"good": GOOD[:1], "bad": BAD[:1]})[0].low is None


def test_equal_models_do_not_differ() -> None:
    test = paired_tests({"a": GOOD, "b": GOOD})[0]
    assert (test.p, test.p_holm, test.effect, test.difference) == (1, 1, 0, 0)


def test_a_group_counts_once() -> None:
    one = [row("a", 40, "p"), row("b", 20, "p"), row("c", 30, "q")]
    two = [row("a", 30, "p"), row("b", 30, "p"), row("c", 20, "q")]
    assert paired_tests({"one": one, "two": two})[0].groups == 2


def test_trainings_of_one_model_are_one() -> None:
    """Three seeds count by their mean, a group and not a row at a time; their number may differ between models."""
    seeds = [[row(id, hits + seed) for id, hits in (("a", 10), ("b", 20), ("c", 30))] for seed in (0, 5, 13)]
    other = [row("a", 12), row("b", 20), row("c", 20)]
    pooled = pool_trainings("seeds", seeds)
    (test,) = paired_tests({"seeds": pooled, "other": other})
    wanted = np.mean([[r.dice for r in rows] for rows in seeds], axis=0) - [r.dice for r in other]
    assert test.groups == 3
    assert test.difference == pytest.approx(wanted.mean(), abs=1e-12)
    assert test.p == _wilcoxon(wanted)
    assert Comparison.of({"seeds": pooled, "other": other}).summaries["seeds"]["dice"].n_groups == 3
    with raises_user_error("seeds", "c"):
        pool_trainings("seeds", [seeds[0], seeds[1][:2]])


def test_ranks_and_critical_difference() -> None:
    result = ranking({"bad": BAD, "good": GOOD, "middle": table_paired([30] * 8)})
    assert list(result.ranks.items()) == [("good", 1), ("middle", 2), ("bad", 3)]
    # Demsar 2006, table 5: q is 2.343 for three models
    assert result.critical_difference == pytest.approx(2.343 * np.sqrt(3 * 4 / (6 * 8)), rel=1e-3)
    assert result.p == pytest.approx(np.exp(-8), rel=1e-3)
    assert list(ranking({"bad": BAD, "good": GOOD}, "hd95_px").ranks) == ["good", "bad"]


def test_ranks_of_differences_that_are_small_but_clear() -> None:
    """Four more false pixels in a million for each model, in each of thirty groups."""
    tables = {
        name: [replace(row(f"c{i}", 40), specificity=1 - 4e-6 * worse) for i in range(30)]
        for worse, name in enumerate(("best", "middle", "worst"))
    }
    result = ranking(tables, "specificity")
    assert list(result.ranks.values()) == [1, 2, 3]
    assert result.p == pytest.approx(np.exp(-30), rel=1e-6, abs=0)
    assert ranking(dict.fromkeys(("one", "two", "three"), GOOD)).p == 1.0


def test_holm_against_the_definition() -> None:
    assert _holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_never_lowers_and_keeps_the_order(p: list[float]) -> None:
    corrected = _holm(p)
    assert all(a <= b <= 1 for a, b in zip(p, corrected, strict=True))
    assert all(corrected[i] <= corrected[j] for i in range(len(p)) for j in range(len(p)) if p[i] < p[j])


def test_different_cases_are_not_compared() -> None:
    with raises_user_error("a", "b", 1, "c00"):
        paired_tests({"a": GOOD, "b": GOOD[1:]})
    with raises_user_error("cases.csv"):
        ranking({"a": GOOD})


def row_robustness(id: str, found: int, lesion: bool = True) -> CaseRow:
    """A case of ten pixels, the first five lesion, of which ``found`` are predicted from the left."""
    truth, probability = np.zeros((1, 10), bool), np.zeros((1, 10))
    truth[:, :5] = lesion
    probability[:, :found] = 1
    return CaseRow.of(score_case(probability, truth), id=id, group=id[0], diagnosis="benign" if lesion else "normal")


PLAIN = [
    row_robustness("a1", 5),
    row_robustness("a2", 4),
    row_robustness("b1", 3),
    row_robustness("n1", 0, False),
    row_robustness("n2", 2, False),
]


def test_the_same_predictions_cost_nothing() -> None:
    table = compare_robustness(PLAIN, {"x": PLAIN})
    assert list(table) == ["undisturbed", "x"]
    assert table["x"]["dice"] == table["undisturbed"]["dice"]
    nothing = {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert table["x"]["dice_difference"] == nothing
    assert table["x"]["false_positive_rate_difference"]["mean"] == 0
    assert "dice_difference" not in table["undisturbed"]


def test_differences_are_means_over_cases() -> None:
    worse = [
        row_robustness("a1", 4),
        row_robustness("a2", 3),
        row_robustness("b1", 0),
        row_robustness("n1", 1, False),
        row_robustness("n2", 2, False),
    ]
    scores = compare_robustness(PLAIN, {"x": worse})["x"]

    def dice(found: int) -> float:
        return 2 * found / (5 + found)

    changes = [dice(4) - dice(5), dice(3) - dice(4), dice(0) - dice(3)]
    assert scores["dice_difference"]["mean"] == pytest.approx(np.mean(changes))
    # two groups, so the ends are those of drawing one of them twice
    assert scores["dice_difference"]["low"] == pytest.approx(changes[2])
    assert scores["dice_difference"]["high"] == pytest.approx(np.mean(changes[:2]))
    assert scores["false_positive_rate"]["mean"] == 1
    assert scores["false_positive_rate_difference"]["mean"] == 0.5


def test_without_normal_images_there_is_no_rate() -> None:
    assert set(compare_robustness(PLAIN[:3], {})["undisturbed"]) == {"dice"}


def test_other_cases_are_refused_robustness() -> None:
    with pytest.raises(ValueError, match=r"^the images under 'x' are others than the undisturbed, such as 'n2'\.$"):
        compare_robustness(PLAIN, {"x": PLAIN[:4]})


def test_what_so_few_groups_could_show() -> None:
    """A difference of the size that is called detectable is found in four of five studies."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (200, 30))
    found = [_detectable(sample, 1) for sample in noise]
    p = [_wilcoxon(sample + np.mean(found)) for sample in noise]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.8, abs=0.06)
    # five signs alike are of p 0.0625, six of 0.031
    assert (_detectable(noise[0, :5], 1), _detectable(noise[0, :6], 2)) == (None, None)
    assert _detectable(noise[0, :6], 1) is not None
    assert _detectable(noise[0], 10) > _detectable(noise[0], 1)


def test_scores_of_folds_come_back(tmp_path: Path) -> None:
    scores = score_folds([make_table(0, 0.5), make_table(1, 4.0)])
    assert scores["dice"][0] > scores["dice"][1]
    write_folds(tmp_path / "folds.csv", scores)
    assert read_folds(tmp_path) == scores
    with (tmp_path / "folds.csv").open(newline="") as file:
        rows = {row["fold"]: float(row["dice"]) for row in csv.DictReader(file)}
    one, other = scores["dice"]
    assert rows["mean"] == pytest.approx((one + other) / 2)
    assert rows["standard deviation"] == pytest.approx(abs(one - other) / 2**0.5)


def test_what_is_no_table_of_folds(tmp_path: Path) -> None:
    assert read_folds(tmp_path) is None
    (tmp_path / "folds.csv").write_text("fold,dice\n0,many\n")
    with raises_user_error(path=tmp_path / "folds.csv"):
        read_folds(tmp_path)
