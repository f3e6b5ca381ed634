"""The mean and its interval against a plain loop."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bus_monai.metrics.aggregate import (
    DISTANCES,
    LOWER_IS_BETTER,
    OVERLAPS,
    RULES,
    Summary,
    grouped_mean,
    means,
    summarize,
    summarize_all,
    write_scores,
)
from bus_monai.metrics.case_table import CaseRow, read_case_table
from bus_monai.metrics.segmentation import score_case
from tests.user_errors import raises_user_error

SPACINGS = st.sampled_from([None, (0.1, 0.1), (0.1, 0.3)])


def row(id: str, tp: int, fp: int, fn: int, tn: int = 0, *, group: str | None = None, mm: bool = False) -> CaseRow:
    truth = np.array([[1] * tp + [0] * fp + [1] * fn + [0] * tn])
    predicted = np.array([[1] * tp + [1] * fp + [0] * fn + [0] * tn])
    scores = score_case(predicted, truth, spacing_mm=(0.5, 2.0) if mm else None)
    return CaseRow.of(scores, id=id, group=group or id, diagnosis="unknown")


def by_metric(summaries: list[Summary]) -> dict[str, Summary]:
    return {summary.metric: summary for summary in summaries}


@st.composite
def tables(draw: st.DrawFn, least: int = 1) -> list[CaseRow]:
    rows = []
    for number in range(draw(st.integers(least, 8))):
        predicted, truth = draw(arrays(np.bool_, (3, 4))), draw(arrays(np.bool_, (3, 4)))
        scores = score_case(predicted.astype(float), truth, spacing_mm=draw(SPACINGS))
        group = f"g{draw(st.integers(0, 4))}"
        rows.append(CaseRow.of(scores, id=f"case-{number}", group=group, diagnosis="unknown"))
    return rows


def test_pooled_dice_is_not_the_mean_dice() -> None:
    # a large lesion found well and a small one found badly
    rows = [row("large", tp=90, fp=5, fn=5, tn=100), row("small", tp=1, fp=4, fn=4, tn=191)]
    assert means(rows, "lesion")["dice"] == pytest.approx((180 / 190 + 2 / 10) / 2)
    pooled = means(rows, "pooled")
    assert pooled["dice"] == pytest.approx(182 / 200)
    assert pooled["iou"] == pytest.approx(91 / 109)
    assert pooled["precision"] == pooled["sensitivity"] == pytest.approx(91 / 100)
    assert pooled["accuracy"] == pytest.approx(382 / 400)
    assert pooled["specificity"] == pytest.approx(291 / 300)


def test_batch_wise_soft_dice_is_that_of_all_probabilities_together() -> None:
    """As in the code of RDAU-NET's parent: twice the products over the sums, of images of one size."""
    random = np.random.default_rng(0)
    images = []
    for number, side in enumerate((16, 32)):
        truth = np.zeros((side, side), dtype=bool)
        truth[2 : 2 + side // 2, 3 : 3 + side // (number + 2)] = True
        images.append((np.clip(truth * 0.6 + random.uniform(0.05, 0.3, truth.shape), 0, 1), truth))
    rows = [
        CaseRow.of(score_case(p, y), id=str(i), group=str(i), diagnosis="benign") for i, (p, y) in enumerate(images)
    ]
    # the larger image counts no more than the other
    products, sums = (
        sum(part(p, y) / y.size for p, y in images) for part in (lambda p, y: (p * y).sum(), lambda p, y: (p + y).sum())
    )
    found = means(rows, "batch_soft")
    # probabilities are known to an eighth of a logit
    assert found["dice"] == pytest.approx(2 * products / sums, abs=0.01)
    assert abs(found["dice"] - means(rows, "lesion")["dice"]) > 0.05
    # thresholded, as precision and sensitivity are
    precision, sensitivity = found["precision"], found["sensitivity"]
    assert found["f1"] == pytest.approx(2 * precision * sensitivity / (precision + sensitivity))
    assert abs(found["f1"] - found["dice"]) > 0.05


def test_the_rules_count_normal_cases_as_they_say() -> None:
    rows = [
        row("found", tp=3, fp=1, fn=0, tn=6),
        row("missed", tp=0, fp=0, fn=4, tn=6),
        row("clean", tp=0, fp=0, fn=0, tn=10, mm=True),
        row("false", tp=0, fp=4, fn=0, tn=6, mm=True),
    ]
    lesion = means(rows, "lesion")
    assert lesion["dice"] == pytest.approx((6 / 7 + 0) / 2)
    assert lesion["precision"] == pytest.approx((3 / 4 + 0) / 2)
    assert lesion["hd95_px"] == pytest.approx((0.85 + np.hypot(1, 10)) / 2)
    assert lesion["hd95_px_detected"] == pytest.approx(0.85)
    assert "hd95_mm" not in lesion
    assert means(rows, "all_cases_zero")["dice"] == pytest.approx(6 / 7 / 4)
    assert set(means(rows, "all_cases_zero")) == set(OVERLAPS)
    # false positives of normal cases count among the pooled pixels
    assert means(rows, "pooled")["precision"] == pytest.approx(3 / 8)
    assert means(rows, "normal") == pytest.approx(
        {"false_positive_rate": 1 / 2, "false_area_px": 2.0, "false_area_mm2": 2.0, "specificity": 0.8}
    )


def test_an_all_background_model_has_precision_zero() -> None:
    rows = [row("a", tp=0, fp=0, fn=4, tn=6), row("b", tp=0, fp=0, fn=0, tn=10)]
    for rule in ("lesion", "pooled", "all_cases_zero"):
        assert {metric: means(rows, rule)[metric] for metric in OVERLAPS} == dict.fromkeys(OVERLAPS, 0.0)


def test_counts_tell_what_a_metric_applies_to() -> None:
    rows = [
        row("a", 2, 1, 1, 6, group="p", mm=True),
        row("b", 2, 0, 1, 7, group="p"),
        row("c", 1, 1, 1, 7, group="q", mm=True),
        row("d", 0, 0, 0, 10, group="r"),
    ]
    lesion = by_metric(summarize(rows, "lesion"))
    assert (lesion["dice"].n_cases, lesion["dice"].n_groups) == (3, 2)
    assert (lesion["hd95_mm"].n_cases, lesion["hd95_mm"].n_groups) == (2, 2)
    assert by_metric(summarize(rows, "pooled"))["dice"].n_cases == 4
    assert by_metric(summarize(rows, "normal"))["specificity"].n_cases == 1


def test_rules_without_cases_have_no_metrics() -> None:
    lesions, normals = [row("a", 2, 1, 1, 6), row("b", 1, 1, 1, 6)], [row("c", 0, 1, 0, 6), row("d", 0, 0, 0, 6)]
    assert set(summarize_all(lesions)) == {"lesion", "pooled", "batch_soft", "all_cases_zero", "detection"}
    assert set(summarize_all(normals)) == {"normal"}
    assert summarize([], "lesion") == []


def test_summary_of_all_rules_survives_json() -> None:
    rows = [row("a", 2, 1, 1, 6), row("b", 1, 1, 1, 6), row("c", 0, 1, 0, 6)]
    summaries = summarize_all(rows, seed=3)
    assert json.loads(json.dumps(summaries, allow_nan=False)) == summaries
    assert summaries["lesion"]["text"] == RULES["lesion"].text
    dice = by_metric(summarize(rows, "lesion", seed=3))["dice"]
    assert summaries["lesion"]["metrics"]["dice"] == {
        "mean": dice.mean,
        "low": dice.low,
        "high": dice.high,
        "n_cases": 2,
        "n_groups": 2,
    }


def test_interval_has_the_width_that_theory_gives() -> None:
    rng = np.random.default_rng(0)
    template = row("x", 2, 1, 1, 6)
    values = rng.normal(0.7, 0.1, size=400)
    rows = [replace(template, id=f"{i:03}", group=f"{i:03}", dice=float(value)) for i, value in enumerate(values)]
    dice = by_metric(summarize(rows, "lesion"))["dice"]
    assert dice.low is not None
    assert dice.high is not None
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (dice.mean - dice.low, dice.high - dice.mean) == pytest.approx((half, half), rel=0.1)


def test_repeated_images_of_a_group_do_not_narrow_the_interval() -> None:
    template, values = row("x", 2, 1, 1, 6), np.random.default_rng(1).uniform(0.4, 0.9, size=40)
    once = [replace(template, id=f"{i}", group=f"{i:02}", dice=float(v)) for i, v in enumerate(values)]
    again = [replace(one, id=f"{one.id}-{copy}") for one in once for copy in range(9)]
    clustered, single = (by_metric(summarize(rows, "lesion"))["dice"] for rows in (again, once))
    assert (clustered.low, clustered.high) == pytest.approx((single.low, single.high))
    naive = by_metric(summarize([replace(one, group=one.id) for one in again], "lesion"))["dice"]
    widths = []
    for summary in (clustered, naive):
        assert summary.low is not None
        assert summary.high is not None
        widths.append(summary.high - summary.low)
    assert widths[0] / widths[1] == pytest.approx(3, rel=0.15)


def test_pooled_interval_is_computed_from_the_sums_of_each_draw() -> None:
    rows = [row("a", 90, 5, 5), row("b", 1, 4, 4), row("c", 10, 20, 0)]
    drawn = np.random.default_rng(7).integers(3, size=(500, 3))
    counts = np.array([(one.tp, one.fp, one.fn) for one in rows])
    values = []
    for draw in drawn:
        tp, fp, fn = counts[draw].sum(axis=0)
        values.append(2 * tp / (2 * tp + fp + fn))
    dice = by_metric(summarize(rows, "pooled", resamples=500, seed=7))["dice"]
    assert (dice.low, dice.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


@pytest.mark.parametrize(("count", "value"), [(23, 0.9), (31, 1 / 3), (41, 0.7), (42, 0.1)])
def test_interval_of_equal_values_is_their_value_in_spite_of_rounding(count: int, value: float) -> None:
    rows = [replace(row("x", 2, 1, 1, 6), id=f"{i}", group=f"{i}", dice=value) for i in range(count)]
    dice = by_metric(summarize(rows, "lesion"))["dice"]
    assert dice.low is not None
    assert dice.high is not None
    assert dice.low <= dice.mean <= dice.high
    assert (dice.low, dice.high) == pytest.approx((value, value), abs=1e-12)


def test_one_group_gives_no_interval() -> None:
    rows = [row("a", 2, 1, 1, 6, group="p"), row("b", 1, 1, 1, 6, group="p")]
    assert {(summary.low, summary.high, summary.n_groups) for summary in summarize(rows, "lesion")} == {(None, None, 1)}


@given(tables(), st.sampled_from(sorted(RULES)), st.integers(0, 3))
@settings(max_examples=60)
def test_interval_contains_the_mean(rows: list[CaseRow], rule: str, seed: int) -> None:
    for summary in summarize(rows, rule, resamples=200, seed=seed):
        if summary.n_groups > 1:
            assert summary.low is not None
            assert summary.high is not None
            assert summary.low <= summary.mean <= summary.high
        assert summary.mean == means(rows, rule)[summary.metric]


@given(tables(), st.sampled_from(sorted(RULES)), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_rows_does_not_matter(rows: list[CaseRow], rule: str, shuffler: random.Random) -> None:
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert summarize(shuffled, rule, resamples=200) == summarize(rows, rule, resamples=200)


@given(tables(), st.sampled_from(["lesion", "pooled", "all_cases_zero"]))
@settings(max_examples=100)
def test_missing_a_lesion_improves_no_metric_of_the_lesion(rows: list[CaseRow], rule: str) -> None:
    before = means(rows, rule)
    for index, one in enumerate(rows):
        if not one.has_lesion:
            continue
        spacing = (0.1, 0.1) if one.hd95_mm is not None else None
        truth = np.arange(12).reshape(3, 4) < one.true_area_px
        scores = score_case(np.zeros((3, 4)), truth, spacing_mm=spacing)
        missed = CaseRow.of(scores, id=one.id, group=one.group, diagnosis=one.diagnosis)
        if one.hd95_mm is not None:
            # the rows do not keep their spacing: the largest there is gives the diagonal of either
            missed = replace(missed, hd95_mm=float(np.hypot(0.3, 1.2)), assd_mm=float(np.hypot(0.3, 1.2)))
        after = means([*rows[:index], missed, *rows[index + 1 :]], rule)
        names = {"sensitivity"} if rule == "pooled" else {*OVERLAPS, *DISTANCES}
        for name in names & set(before):
            better = -1 if name in LOWER_IS_BETTER else 1
            assert better * after[name] <= better * before[name] + 1e-12, name


def test_pooling_may_reward_a_missed_lesion() -> None:
    good, bad, missed = row("a", 10, 0, 0, 10), row("b", 1, 18, 0, 1), row("b", 0, 0, 1, 19)
    assert means([good, bad], "pooled")["dice"] == pytest.approx(22 / 40)
    assert means([good, missed], "pooled")["dice"] == pytest.approx(20 / 21)
    assert means([good, bad], "lesion")["dice"] == pytest.approx((1 + 2 / 20) / 2)
    assert means([good, missed], "lesion")["dice"] == pytest.approx(1 / 2)


def test_trainings_of_one_model_are_no_more_cases() -> None:
    first, second = [row("a", 10, 0, 0, 10), row("b", 1, 18, 0, 1)], [row("a", 5, 0, 5, 10), row("b", 0, 0, 1, 19)]
    for rule in ("lesion", "pooled"):
        one, both = summarize(first, rule)[0], summarize([*first, *second], rule)[0]
        assert (one.n_cases, one.n_groups) == (both.n_cases, both.n_groups) == (2, 2)
        assert summarize([*second, *first], rule)[0] == both
    assert means([*first, *second], "lesion")["dice"] == pytest.approx((1 + 2 / 20 + 10 / 15 + 0) / 4)


def test_unknown_rule_is_an_error_that_lists_the_rules() -> None:
    with raises_user_error("median", "lesion", "pooled", "all_cases_zero", "detection", "normal", key="rule"):
        summarize([], "median")


def test_too_few_resamples_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"^resamples must be at least 100, got 20\.$"):
        summarize([], "lesion", resamples=20)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_says_what_it_does_in_a_sentence(rule: str) -> None:
    assert RULES[rule].text[0].isupper()
    assert RULES[rule].text.endswith(".")


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


def test_both_files_hold_the_same_rows(tmp_path: Path) -> None:
    truth = np.eye(16, dtype=bool)
    scores = [score_case(0.7 * np.roll(truth, shift, axis=1), truth & (shift < 3)) for shift in range(4)]
    rows = [CaseRow.of(s, id=f"c{i}", group=f"g{i // 2}", diagnosis="unknown") for i, s in enumerate(scores)]
    # of an earlier table
    for name in ("robustness.json", "folds.csv", "data.json"):
        (tmp_path / name).touch()
    summaries = write_scores(tmp_path, rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases.csv", "summary.json"]
    assert read_case_table(tmp_path / "cases.csv") == rows
    assert json.loads((tmp_path / "summary.json").read_text()) == summaries == summarize_all(rows)
    # of the three lesions one is met
    assert np.isclose(summaries["lesion"]["metrics"]["dice"]["mean"], 1 / 3)
