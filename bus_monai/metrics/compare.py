"""Paired comparison of models on the same cases, of disturbed images with the others, and of folds."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range, t, wilcoxon

from bus_monai.errors import UserError, check_choice, reading
from bus_monai.io.atomic import write_json, write_table
from bus_monai.metrics.aggregate import (
    DISTANCES,
    FOLDS_FILE,
    LOWER_IS_BETTER,
    OVERLAPS,
    ROBUSTNESS_FILE,
    RULES,
    Summary,
    grouped_mean,
    means,
    summarize,
)
from bus_monai.metrics.case_table import CaseRow

SIGNIFICANCE_LEVEL = 0.05
POWER = 0.8
WILCOXON_EFFICIENCY = 3 / np.pi
"""Of the signed rank test against the t-test where differences are normal (Hodges and Lehmann 1956)."""
COMPARED_RULE = "lesion"
COMPARED_COLUMNS = (
    *(*OVERLAPS, "specificity", "accuracy", "m_iou", *DISTANCES, "tp", "fp", "fn", "tn"),
    *("lesions_found", "false_components", "false_positive"),
)
"""Of the table of cases: numbers of which more is better, or less. Of an area neither is."""
DECIMALS = 12
"""To which scores are taken as equal: finer ones are of the order in which a computer adds."""
UNDISTURBED = "undisturbed"
FoldScores: TypeAlias = Mapping[str, Sequence[float]]
"""By metric the score of each fold."""


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same groups.

    Args:
        first: name of a model.
        second: name of another.
        difference: mean over groups of first minus second.
        low: lower end of its 95 % interval, by bootstrap over the groups of both models at once; ``None`` for a single
            group. It is not corrected for the number of pairs.
        high: upper end.
        effect: matched-pairs rank-biserial correlation (Kerby 2014), from -1 to 1; positive where the first scores
            higher more often.
        p: of the two-sided Wilcoxon signed rank test (Wilcoxon 1945).
        p_holm: the same, corrected for all pairs by Holm's method (Holm 1979).
        groups: how many were compared.
        detectable: smallest true difference that so many groups show with a power of 80 %, given how much the
            differences scatter (Bloom, Evaluation Review 19, 1995); ``None`` for a single group, and where no
            difference, however large, can reach a corrected p of 0.05.
    """

    first: str
    second: str
    difference: float
    low: float | None
    high: float | None
    effect: float
    p: float
    p_holm: float
    groups: int
    detectable: float | None


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of the models over groups (Demsar, JMLR 7, 2006).

    Args:
        ranks: mean rank by model, best first; 1 is best.
        critical_difference: ranks that differ by less are not told apart (Nemenyi, at 5 %).
        p: of Friedman's test that all models are alike; ``None`` for two models, to which it does not apply.
    """

    ranks: Mapping[str, float]
    critical_difference: float
    p: float | None


def paired_tests(tables: Mapping[str, Sequence[CaseRow]], metric: str = "dice") -> list[PairedTest]:
    """Compare each pair of models.

    The images of a patient are not independent, so that a group counts once, with the mean of its cases.

    Args:
        tables: rows of each model, by its name.
        metric: one of :data:`COMPARED_COLUMNS`; cases to which it does not apply are left out, and normal ones where
            :data:`COMPARED_RULE` has the metric, so that tests and scores are of the same cases.

    Raises:
        UserError: fewer than two models, another column, or tables of different cases or groups.

    Example:
        >>> from bus_monai.metrics.segmentation import score_case
        >>> truth = np.array([[1, 1, 0, 0]])
        >>> half, whole = score_case(np.array([[0.9, 0.1, 0.1, 0.1]]), truth), score_case(1.0 * truth, truth)
        >>> tables = {
        ...     name: [CaseRow.of(scores, id=id, group=id, diagnosis="benign") for id in "abcdef"]
        ...     for name, scores in (("good", whole), ("bad", half))
        ... }
        >>> (test,) = paired_tests(tables)
        >>> round(test.difference, 3), test.effect, test.p
        (0.333, 1.0, 0.03125)
    """
    scores = _by_group(tables, metric)
    pairs = list(combinations(scores, 2))
    differences = [np.round(scores[a] - scores[b], DECIMALS) for a, b in pairs]
    p_values = [_wilcoxon(difference) for difference in differences]
    tests = []
    for (a, b), difference, p, holm in zip(pairs, differences, p_values, _holm(p_values), strict=True):
        mean = grouped_mean(difference.tolist(), [str(group) for group in range(len(difference))])
        tests.append(
            PairedTest(
                *(a, b, mean.value, mean.low, mean.high, _effect(difference), p, holm, len(difference)),
                detectable=_detectable(difference, len(pairs)),
            )
        )
    return tests


def ranking(tables: Mapping[str, Sequence[CaseRow]], metric: str = "dice") -> Ranking:
    """Rank the models within each group and average.

    Raises:
        UserError: as :func:`paired_tests`.

    Example:
        >>> from bus_monai.metrics.segmentation import score_case
        >>> truth = np.array([[1, 1, 0, 0]])
        >>> half, whole = score_case(np.array([[0.9, 0.1, 0.1, 0.1]]), truth), score_case(1.0 * truth, truth)
        >>> tables = {
        ...     "bad": [CaseRow.of(half, id="a", group="a", diagnosis="benign")],
        ...     "good": [CaseRow.of(whole, id="a", group="a", diagnosis="benign")],
        ... }
        >>> ranking(tables).ranks
        {'good': 1.0, 'bad': 2.0}
    """
    scores = _by_group(tables, metric)
    values = np.round(list(scores.values()), DECIMALS)
    ranks = rankdata(values if metric in LOWER_IS_BETTER else -values, axis=0).mean(axis=1)
    models, groups = values.shape
    quantile = studentized_range.ppf(1 - SIGNIFICANCE_LEVEL, models, np.inf) / np.sqrt(2)
    differ = models > 2 and bool((values != values[0]).any())
    return Ranking(
        ranks={name: float(rank) for rank, name in sorted(zip(ranks, scores, strict=True))},
        critical_difference=float(quantile * np.sqrt(models * (models + 1) / (6 * groups))),
        p=float(friedmanchisquare(*values).pvalue) if differ else (1.0 if models > 2 else None),
    )


def pool_trainings(name: str, tables: Sequence[Sequence[CaseRow]]) -> list[CaseRow]:
    """Put trainings of one model, such as one per seed, into one table, where a group counts with its mean over them.

    Args:
        name: of the model, for the error.
        tables: rows of each training.

    Raises:
        UserError: tables of different cases or groups.
    """
    cases = [_cases(rows) for rows in tables]
    for other in cases[1:]:
        _check_alike(f"two trainings of '{name}'", cases[0], other)
    return [row for rows in tables for row in rows]


def _cases(rows: Sequence[CaseRow]) -> set[tuple[str, str, bool, int]]:
    return {(row.id, row.group, row.has_lesion, row.true_area_px) for row in rows}


def _check_alike(models: str, cases: set[tuple[str, str, bool, int]], others: set[tuple[str, str, bool, int]]) -> None:
    if different := cases ^ others:
        raise UserError(
            f"{models[0].upper()}{models[1:]} were evaluated on different cases or groups of them ({len(different)} "
            f"differ, such as '{min(different)[0]}'): evaluate both on the same data, split and size."
        )


def _by_group(tables: Mapping[str, Sequence[CaseRow]], metric: str) -> dict[str, NDArray[np.float64]]:
    check_choice("metric", metric, COMPARED_COLUMNS, where="a comparison")
    if len(tables) < 2:
        raise UserError("A comparison needs two or more evaluations: give more folders with a cases.csv.")
    first = next(iter(tables))
    cases = {name: _cases(rows) for name, rows in tables.items()}
    applies = {name: {(row.id, getattr(row, metric) is not None) for row in rows} for name, rows in tables.items()}
    lesions_alone = metric in RULES[COMPARED_RULE].fractions
    means: dict[str, dict[str, float]] = {}
    for name, rows in tables.items():
        _check_alike(f"'{first}' and '{name}'", cases[first], cases[name])
        if different := applies[first] ^ applies[name]:
            raise UserError(
                f"The metric '{metric}' applies to other cases of '{name}' than of '{first}', such as "
                f"'{min(different)[0]}': choose another."
            )
        values = defaultdict(list)
        for row in rows:
            if (value := getattr(row, metric)) is not None and (row.has_lesion or not lesions_alone):
                values[row.group].append(float(value))
        means[name] = {group: math.fsum(part) / len(part) for group, part in values.items()}
    groups = sorted(means[first])
    if not groups:
        raise UserError(f"The metric '{metric}' applies to no case of '{first}': choose another.")
    return {name: np.array([means[name][group] for group in groups]) for name in tables}


def _wilcoxon(difference: NDArray[np.float64]) -> float:
    return float(wilcoxon(difference, zero_method="pratt").pvalue) if np.any(difference) else 1.0


def _effect(difference: NDArray[np.float64]) -> float:
    moved = difference[difference != 0]
    if not len(moved):
        return 0.0
    ranks = rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())


def _detectable(difference: NDArray[np.float64], pairs: int) -> float | None:
    groups = len(difference)
    # Holm's first and strictest step
    level = SIGNIFICANCE_LEVEL / pairs
    # all signs alike is the least likely outcome
    if groups < 2 or 0.5 ** (groups - 1) > level:
        return None
    quantiles = t.ppf([1 - level / 2, POWER], groups - 1).sum()
    return float(quantiles * difference.std(ddof=1) / np.sqrt(groups * WILCOXON_EFFICIENCY))


def _holm(p_values: Sequence[float]) -> list[float]:
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


@dataclass(frozen=True)
class Comparison:
    """Models that were evaluated on the same cases.

    Args:
        tables: rows of each model, by its name.
        metric: what the paired tests and the ranking look at.
        summaries: of each model under :data:`COMPARED_RULE`, by metric.
        tests: of each pair of models.
        ranking: mean ranks of the models.
    """

    tables: Mapping[str, Sequence[CaseRow]]
    metric: str
    summaries: Mapping[str, Mapping[str, Summary]]
    tests: Sequence[PairedTest]
    ranking: Ranking

    @classmethod
    def of(cls, tables: Mapping[str, Sequence[CaseRow]], metric: str = "dice") -> Comparison:
        """Compare tables of cases, by one of :data:`COMPARED_COLUMNS`.

        Raises:
            UserError: as :func:`paired_tests`.
        """
        tests = paired_tests(tables, metric)
        summaries = {name: {s.metric: s for s in summarize(rows, COMPARED_RULE)} for name, rows in tables.items()}
        return cls(tables, metric, summaries, tests, ranking(tables, metric))


def compare_robustness(
    plain: Sequence[CaseRow], disturbed: Mapping[str, Sequence[CaseRow]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Score each perturbation, and its difference to the undisturbed images.

    The interval of a difference is paired: it is the bootstrap interval over groups of the differences of the cases.

    Args:
        plain: scores of the undisturbed images.
        disturbed: scores of the same cases by the name of the perturbation.

    Returns:
        ``undisturbed`` and each perturbation, in this order; for each ``dice``, over the cases with a lesion, and
        ``false_positive_rate``, over the normal ones, and, but for the first, ``dice_difference`` and
        ``false_positive_rate_difference``: ``mean``, ``low`` and ``high`` as plain values. What no case falls under is
        left out.

    Raises:
        ValueError: a perturbation lacks a case of the undisturbed images or has another one.
    """
    table = {UNDISTURBED: _scores(plain)}
    for name, rows in disturbed.items():
        differences = {f"{key}_difference": value for key, value in _scores(_differences(name, plain, rows)).items()}
        table[name] = _scores(rows) | differences
    return table


def write_robustness(folder: Path, table: Mapping[str, Any]) -> Path:
    """Write ``robustness.json``."""
    write_json(folder / ROBUSTNESS_FILE, table)
    return folder / ROBUSTNESS_FILE


def _scores(rows: Sequence[CaseRow]) -> dict[str, dict[str, Any]]:
    summaries = [*summarize(rows, "lesion"), *summarize(rows, "normal")]
    wanted = {summary.metric: asdict(summary) for summary in summaries}
    return {
        metric: {key: wanted[metric][key] for key in ("mean", "low", "high")}
        for metric in ("dice", "false_positive_rate")
        if metric in wanted
    }


def _differences(name: str, plain: Sequence[CaseRow], disturbed: Sequence[CaseRow]) -> list[CaseRow]:
    by_id = {row.id: row for row in disturbed}
    different = by_id.keys() ^ {row.id for row in plain}
    if different:
        raise ValueError(f"the images under {name!r} are others than the undisturbed, such as {min(different)!r}.")
    rows = []
    for row in plain:
        other = by_id[row.id]
        dice = None if row.dice is None or other.dice is None else other.dice - row.dice
        # a difference of truth values is -1, 0 or 1, of which the rules take the mean as of any number
        false_positive: Any = int(other.false_positive) - int(row.false_positive)
        rows.append(replace(row, dice=dice, false_positive=false_positive))
    return rows


def score_folds(tables: Sequence[Sequence[CaseRow]]) -> FoldScores:
    """Score each fold by the rule ``lesion``; a metric that does not apply to one of them is left out.

    Args:
        tables: rows of each fold.
    """
    return join_folds([means(rows, "lesion") for rows in tables])


def join_folds(scores: Sequence[Mapping[str, float]]) -> FoldScores:
    """Put the scores of each fold, by metric, side by side; a metric that one of them lacks is left out."""
    return {name: [fold[name] for fold in scores] for name in scores[0] if all(name in fold for fold in scores)}


def fold_rows(scores: FoldScores) -> list[tuple[str, list[float]]]:
    """Return a row for each fold, and those of mean and sample standard deviation, as papers give them.

    Example:
        >>> [(name, [round(value, 3) for value in row]) for name, row in fold_rows({"dice": [0.5, 0.7]})[2:]]
        [('mean', [0.6]), ('standard deviation', [0.141])]
    """
    values = np.array(list(scores.values())).T
    rows = [(str(fold), part.tolist()) for fold, part in enumerate(values)]
    return [*rows, ("mean", values.mean(axis=0).tolist()), ("standard deviation", values.std(axis=0, ddof=1).tolist())]


def write_folds(path: Path, scores: FoldScores) -> None:
    """Write ``folds.csv``.

    Raises:
        UserError: the file cannot be written.
    """
    write_table(path, ["fold", *scores], ([name, *values] for name, values in fold_rows(scores)), known=1)


def read_folds(folder: Path) -> FoldScores | None:
    """Read ``folds.csv`` of a folder, ``None`` where there is none: its scores are of no cross-validation.

    Raises:
        UserError: the file is broken.
    """
    path = folder / FOLDS_FILE
    if not path.is_file():
        return None
    remedy = "cross-validate again"
    with (
        reading(path, "CSV", errors=(ValueError, TypeError, csv.Error), remedy=remedy),
        path.open(newline="", encoding="utf-8") as file,
    ):
        rows = [row for row in csv.DictReader(file) if row.get("fold", "").isdecimal()]
        if not rows:
            raise UserError(f"'{path}' has no fold: {remedy}.", path=path)
        return {name: [float(row[name]) for row in rows] for name in rows[0] if name != "fold"}
