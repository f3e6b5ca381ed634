"""Paired comparison of models that were evaluated on the same cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon

from bus_monai.errors import UserError
from bus_monai.metrics.aggregate import LOWER_IS_BETTER
from bus_monai.metrics.case_table import CaseRow

LEVEL = 0.05


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same groups.

    Args:
        first: name of a model.
        second: name of another.
        difference: mean over groups of first minus second.
        effect: matched-pairs rank-biserial correlation (Kerby 2014), from -1 to 1; positive where the first scores
            higher more often.
        p: of the two-sided Wilcoxon signed rank test (Wilcoxon 1945).
        p_holm: the same, corrected for all pairs by Holm's method (Holm 1979).
        groups: how many were compared.
    """

    first: str
    second: str
    difference: float
    effect: float
    p: float
    p_holm: float
    groups: int


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
        metric: a column of the table that is a number; cases to which it does not apply are left out.

    Raises:
        UserError: fewer than two models, or tables of different cases.
    """
    scores = _by_group(tables, metric)
    pairs = list(combinations(scores, 2))
    p_values = [_wilcoxon(scores[a] - scores[b]) for a, b in pairs]
    return [
        PairedTest(a, b, float((scores[a] - scores[b]).mean()), _effect(scores[a] - scores[b]), p, holm, len(scores[a]))
        for (a, b), p, holm in zip(pairs, p_values, _holm(p_values), strict=True)
    ]


def ranking(tables: Mapping[str, Sequence[CaseRow]], metric: str = "dice") -> Ranking:
    """Rank the models within each group and average.

    Raises:
        UserError: fewer than two models, or tables of different cases.
    """
    scores = _by_group(tables, metric)
    values = np.array(list(scores.values()))
    ranks = rankdata(values if metric in LOWER_IS_BETTER else -values, axis=0).mean(axis=1)
    models, groups = values.shape
    quantile = studentized_range.ppf(1 - LEVEL, models, np.inf) / np.sqrt(2)
    differ = models > 2 and not np.allclose(values, values[0])
    return Ranking(
        ranks={name: float(rank) for rank, name in sorted(zip(ranks, scores, strict=True))},
        critical_difference=float(quantile * np.sqrt(models * (models + 1) / (6 * groups))),
        p=float(friedmanchisquare(*values).pvalue) if differ else (1.0 if models > 2 else None),
    )


def _by_group(tables: Mapping[str, Sequence[CaseRow]], metric: str) -> dict[str, NDArray[np.float64]]:
    if len(tables) < 2:
        raise UserError("A comparison needs two or more evaluations: give more folders with a cases.csv.")
    names = list(tables)
    means: dict[str, dict[str, float]] = {}
    cases = {name: {(row.id, row.has_lesion, row.true_area_px) for row in tables[name]} for name in names}
    for name in names:
        different = cases[name] ^ cases[names[0]]
        if different:
            raise UserError(
                f"'{names[0]}' and '{name}' were evaluated on different cases ({len(different)} differ, such as "
                f"'{min(different)[0]}'): evaluate both on the same data, split and size."
            )
        values = defaultdict(list)
        for row in tables[name]:
            if (value := getattr(row, metric)) is not None:
                values[row.group].append(float(value))
        means[name] = {group: float(np.mean(part)) for group, part in values.items()}
    groups = sorted(means[names[0]])
    if not groups:
        raise UserError(f"The metric '{metric}' applies to no case of '{names[0]}': choose another.")
    return {name: np.array([means[name][group] for group in groups]) for name in names}


def _wilcoxon(difference: NDArray[np.float64]) -> float:
    return float(wilcoxon(difference, zero_method="pratt").pvalue) if np.any(difference) else 1.0


def _effect(difference: NDArray[np.float64]) -> float:
    moved = difference[difference != 0]
    if not len(moved):
        return 0.0
    ranks = rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())


def _holm(p_values: Sequence[float]) -> list[float]:
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
