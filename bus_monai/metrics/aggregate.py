"""Aggregate a table of cases to means with intervals, under stated rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from bus_monai.errors import check_choice
from bus_monai.io.atomic import write_json
from bus_monai.metrics.case_table import CaseRow, write_case_table
from bus_monai.metrics.classification import CLASSIFICATION_RESAMPLES, INTERVAL_PERCENTILES, Interval
from bus_monai.metrics.segmentation import BIN_CENTERS

Fraction: TypeAlias = Callable[[CaseRow], "tuple[float, float] | None"]
"""Share of a case in numerator and denominator of a metric; ``None`` where the metric does not apply."""

RESAMPLES = 2000
DISTANCES = ("hd95_px", "assd_px", "hd95_mm", "assd_mm")
DETECTED_DISTANCES = ("hd95_px_detected", "hd95_mm_detected")
"""Of lesions of which a pixel was found: what the diagonal of the missed ones hides."""
OVERLAPS = ("dice", "iou", "precision", "sensitivity")
BATCH_PIXELS = 128 * 128
"""Pixels that each image counts as in a batch, those that it has when RDAU-NET and its GAN see it."""
LOWER_IS_BETTER = frozenset(
    {
        *DISTANCES,
        *DETECTED_DISTANCES,
        *("fp", "fn", "false_positive", "false_components"),
        "false_positive_rate",
        "false_area_px",
        "false_area_mm2",
        "false_components_per_image",
    }
)
"""Columns of the table of cases, and metrics of the rules."""
CASES_FILE = "cases.csv"
"""Scores per case."""
SUMMARY_FILE = "summary.json"
"""Each aggregation rule with its means and intervals."""
DATA_FILE = "data.json"
"""What was evaluated: ids by section, the digest of the files, whether they are phantoms."""
ROBUSTNESS_FILE = "robustness.json"
"""Scores under each perturbation, from an evaluation with ``--robustness``."""
FOLDS_FILE = "folds.csv"
"""Scores of each fold by itself, with mean and standard deviation."""


@dataclass(frozen=True)
class Rule:
    """A rule that makes one number of cases: the sum of a fraction's numerators over the sum of its denominators.

    Args:
        text: the rule in words, printed beside the numbers.
        select: takes all rows and returns those that count.
        fractions: what each metric sums.
    """

    text: str
    select: Callable[[Sequence[CaseRow]], Sequence[CaseRow]]
    fractions: Mapping[str, Fraction]


@dataclass(frozen=True)
class Summary:
    """A metric over a set of cases.

    Args:
        rule: name of the rule, a key of :data:`RULES`.
        metric: name of the metric.
        mean: the value over the set.
        low: lower end of the bootstrap 95 % interval; ``None`` for a single group, which gives no interval.
        high: upper end.
        n_cases: cases that the metric applies to.
        n_groups: groups that these cases form.
    """

    rule: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    n_cases: int
    n_groups: int


def _lesions(rows: Sequence[CaseRow]) -> Sequence[CaseRow]:
    return [row for row in rows if row.has_lesion]


def _normals(rows: Sequence[CaseRow]) -> Sequence[CaseRow]:
    return [row for row in rows if not row.has_lesion]


def _all_if_lesions(rows: Sequence[CaseRow]) -> Sequence[CaseRow]:
    return rows if any(row.has_lesion for row in rows) else []


def _mean_of(field: str, row: CaseRow) -> tuple[float, float] | None:
    value = getattr(row, field)
    return None if value is None else (float(value), 1.0)


def _mean_of_detected(field: str, row: CaseRow) -> tuple[float, float] | None:
    return _mean_of(field, row) if row.tp else None


def _mean_with_zero(field: str, row: CaseRow) -> tuple[float, float]:
    return (float(getattr(row, field)) if row.has_lesion else 0.0, 1.0)


def _share(row: CaseRow) -> float:
    return BATCH_PIXELS / (row.tp + row.fp + row.fn + row.tn)


def _soft_dice(row: CaseRow) -> tuple[float, float]:
    lesion, background = (
        float(np.dot(counts, BIN_CENTERS)) for counts in (row.lesion_histogram, row.background_histogram)
    )
    true = row.tp + row.fn
    return 2 * lesion * _share(row), (lesion + background + true) * _share(row)


def _scaled(fraction: Callable[[CaseRow], tuple[float, float]], row: CaseRow) -> tuple[float, float]:
    above, below = fraction(row)
    return above * _share(row), below * _share(row)


def _means(*fields: str) -> dict[str, Fraction]:
    return {field: partial(_mean_of, field) for field in fields}


RULES: Mapping[str, Rule] = {
    "lesion": Rule(
        text="Mean over the cases with a lesion; where nothing is predicted, overlap is 0 and surface distances are "
        "the image's diagonal. Detected are those of which a pixel was found.",
        select=_lesions,
        fractions=_means(*OVERLAPS, "m_iou", "accuracy", "specificity", *DISTANCES)
        | {f"{field}_detected": partial(_mean_of_detected, field) for field in ("hd95_px", "hd95_mm")},
    ),
    "pooled": Rule(
        text="Pixel counts are summed over all cases, normal ones included, and each metric is computed once from the "
        "sums.",
        select=_all_if_lesions,
        fractions={
            "dice": lambda row: (2 * row.tp, 2 * row.tp + row.fp + row.fn),
            "iou": lambda row: (row.tp, row.tp + row.fp + row.fn),
            "precision": lambda row: (row.tp, row.tp + row.fp),
            "sensitivity": lambda row: (row.tp, row.tp + row.fn),
            "accuracy": lambda row: (row.tp + row.tn, row.tp + row.fp + row.fn + row.tn),
            "specificity": lambda row: (row.tn, row.tn + row.fp),
        },
    ),
    "batch_soft": Rule(
        text="All cases as one batch of images of 128 x 128 pixels: Dice is that of the probabilities, their products "
        "and sums taken over the batch; the others are of thresholded pixels, counted over the batch; M-IOU is the "
        "mean over the cases with a lesion.",
        select=_all_if_lesions,
        fractions={
            "dice": _soft_dice,
            "f1": partial(_scaled, lambda row: (2 * row.tp, 2 * row.tp + row.fp + row.fn)),
            "precision": partial(_scaled, lambda row: (row.tp, row.tp + row.fp)),
            "sensitivity": partial(_scaled, lambda row: (row.tp, row.tp + row.fn)),
            "accuracy": partial(_scaled, lambda row: (row.tp + row.tn, row.tp + row.fp + row.fn + row.tn)),
            "specificity": partial(_scaled, lambda row: (row.tn, row.tn + row.fp)),
            "m_iou": lambda row: _mean_of("m_iou", row) if row.has_lesion else None,
        },
    ),
    "all_cases_zero": Rule(
        text="Mean over all cases; a normal case scores 0 whatever is predicted, so with normal cases even a perfect "
        "model stays below 1.",
        select=_all_if_lesions,
        fractions={field: partial(_mean_with_zero, field) for field in OVERLAPS},
    ),
    "detection": Rule(
        text="Lesions one by one over all cases: a lesion is found where a predicted component overlaps it with an "
        "IoU of at least 0.1; other predicted components are false.",
        select=_all_if_lesions,
        fractions={
            "lesion_sensitivity": lambda row: (row.lesions_found, row.lesions) if row.lesions else None,
            "false_components_per_image": lambda row: (row.false_components, 1.0),
        },
    ),
    "normal": Rule(
        text="Over the normal cases: the share in which lesion is predicted, and the mean area predicted, 0 included.",
        select=_normals,
        fractions={
            "false_positive_rate": partial(_mean_of, "false_positive"),
            "false_area_px": partial(_mean_of, "predicted_area_px"),
            "false_area_mm2": partial(_mean_of, "predicted_area_mm2"),
            "specificity": partial(_mean_of, "specificity"),
        },
    ),
}
"""All rules by name.

Under ``lesion`` and ``all_cases_zero`` no overlap or distance gains from a lesion that is left out. Under ``pooled`` it
may: dropping one badly wrong prediction can raise the Dice of the sums, so it is no basis to select a model.
"""


def get_rule(name: str) -> Rule:
    """Return a rule by name.

    Raises:
        UserError: there is no such rule.
    """
    check_choice("rule", name, RULES)
    return RULES[name]


def means(rows: Iterable[CaseRow], rule: str) -> dict[str, float]:
    """Compute each metric of a rule, without intervals; metrics that apply to no case are left out.

    Raises:
        UserError: there is no such rule.
        ValueError: two rows have the same id.

    Example:
        >>> from bus_monai.metrics.segmentation import score_case
        >>> truth = np.array([[1, 1, 0, 0]])
        >>> scores = {"a": score_case(np.array([[0.9, 0.1, 0.1, 0.1]]), truth), "b": score_case(1.0 * truth, truth)}
        >>> rows = [CaseRow.of(case, id=id, group=id, diagnosis="benign") for id, case in scores.items()]
        >>> found = means(rows, "lesion")
        >>> found["sensitivity"], found["precision"]
        (0.75, 1.0)
    """
    return {
        name: mean for name, _, sums in _grouped_sums(rows, get_rule(rule)) if (mean := _total(name, sums)) is not None
    }


def summarize(rows: Iterable[CaseRow], rule: str, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Summary]:
    """Compute each metric of a rule with its 95 % interval.

    The interval is the percentile interval of a cluster bootstrap (Davison and Hinkley 1997, section 3.8): whole groups
    are drawn with replacement, since the images of a patient are not independent, and the metric is computed anew from
    each draw. Order of the rows does not matter; the same rows and seed give the same interval.

    Args:
        rows: the table; rows of one id are trainings of one model.
        rule: key of :data:`RULES`.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        One summary per metric, in the order of the rule; metrics that apply to no case are left out.

    Raises:
        UserError: there is no such rule.
        ValueError: ``resamples`` is less than 100.

    Example:
        >>> from bus_monai.metrics.segmentation import score_case
        >>> truth = np.array([[1, 1, 0, 0]])
        >>> scores = {"a": score_case(np.array([[0.9, 0.1, 0.1, 0.1]]), truth), "b": score_case(1.0 * truth, truth)}
        >>> rows = [CaseRow.of(case, id=id, group=id, diagnosis="benign") for id, case in scores.items()]
        >>> one = summarize(rows, "lesion")[2]
        >>> one.metric, one.mean, one.low, one.high, one.n_groups
        ('precision', 1.0, 1.0, 1.0, 2)
    """
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, got {resamples}.")
    draws: dict[int, NDArray[np.float64]] = {}
    summaries = []
    for name, n_cases, sums in _grouped_sums(rows, get_rule(rule)):
        mean, n_groups = _total(name, sums), sums.shape[1]
        if mean is None:
            continue
        if n_groups not in draws:
            draws[n_groups] = _draw(n_groups, resamples, seed)
        low, high = _interval(name, mean, sums, draws[n_groups]) if n_groups > 1 else (None, None)
        summaries.append(Summary(rule, name, mean, low, high, n_cases, n_groups))
    return summaries


def summarize_all(rows: Iterable[CaseRow], *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Compute all rules that some case falls under.

    Returns:
        For each rule its ``text`` and, below ``metrics``, for each metric ``mean``, ``low``, ``high``, ``n_cases`` and
        ``n_groups``: plain values, as JSON wants them.
    """
    rows = list(rows)
    result: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        summaries = [asdict(s) for s in summarize(rows, rule, resamples=resamples, seed=seed)]
        if summaries:
            metrics = {s["metric"]: {k: v for k, v in s.items() if k not in ("rule", "metric")} for s in summaries}
            result[rule] = {"text": RULES[rule].text, "metrics": metrics}
    return result


def _grouped_sums(rows: Iterable[CaseRow], rule: Rule) -> list[tuple[str, int, NDArray[np.float64]]]:
    """Return, for each metric, its name, its number of cases and the sums (2, groups) of its fractions."""
    # sums of floating-point numbers depend on their order, and so would the result on that of the rows
    selected = rule.select(sorted(rows, key=lambda row: (row.id, row.tp, row.fp, row.fn)))
    result = []
    for name, fraction in rule.fractions.items():
        parts = [(row, part) for row in selected if (part := fraction(row)) is not None]
        groups = {group: number for number, group in enumerate(sorted({row.group for row, _ in parts}))}
        sums = np.zeros((2, len(groups)))
        for row, part in parts:
            sums[:, groups[row.group]] += part
        if parts:
            result.append((name, len({row.id for row, _ in parts}), sums))
    return result


def _ratios(name: str, numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> NDArray[np.float64]:
    # where nothing is predicted precision is 0; any other metric without denominator does not apply
    values = np.full_like(numerators, 0.0 if name == "precision" else np.nan)
    return np.divide(numerators, denominators, out=values, where=denominators > 0)


def _total(name: str, sums: NDArray[np.float64]) -> float | None:
    total = _ratios(name, *sums.sum(axis=1, keepdims=True)).item()
    return None if np.isnan(total) else total


def _draw(n_groups: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how often each group is drawn, (resamples, groups)."""
    drawn = np.random.default_rng(seed).integers(n_groups, size=(resamples, n_groups))
    drawn += n_groups * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * n_groups).reshape(resamples, n_groups).astype(np.float64)


def _interval(name: str, mean: float, sums: NDArray[np.float64], draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.nanpercentile(_ratios(name, draws @ sums[0], draws @ sums[1]), INTERVAL_PERCENTILES)
    # rounding may put the mean of equal values outside of their interval
    return min(float(low), mean), max(float(high), mean)


def grouped_mean(values: Sequence[float], groups: Sequence[str], *, seed: int = 0) -> Interval:
    """Return the mean with the 95 % percentile interval of a cluster bootstrap (Davison and Hinkley 1997, section 3.8).

    Args:
        values: one per case, also 0 and 1 for a share.
        groups: patient of each case; whole groups are drawn with replacement.
        seed: of the draws.

    Raises:
        ValueError: there is no value, or the lengths differ.

    Example:
        >>> grouped_mean([1.0, 0.0, 1.0], ["a", "a", "b"])
        Interval(value=0.6666666666666666, low=0.5, high=1.0)
    """
    if not len(values) == len(groups) or not len(values):
        raise ValueError(f"{len(values)} values and {len(groups)} groups: give one of each per case.")
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = np.bincount(number, values), np.bincount(number).astype(float)
    mean = float(sums.sum() / counts.sum())
    if len(sums) == 1:
        return Interval(mean, None, None)
    interval = bootstrap(
        (sums, counts),
        lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis),
        n_resamples=CLASSIFICATION_RESAMPLES,
        vectorized=True,
        paired=True,
        method="percentile",
        random_state=seed,
    ).confidence_interval
    return Interval(mean, float(interval.low), float(interval.high))


def write_scores(folder: Path, rows: Sequence[CaseRow]) -> dict[str, dict[str, Any]]:
    """Write ``cases.csv`` and ``summary.json``, and return what the latter holds.

    What lies beside them of an earlier table is removed: its data, folds and robustness.

    Args:
        folder: where both go.
        rows: one per case.

    Returns:
        The summaries of :func:`~bus_monai.metrics.aggregate.summarize_all`.

    Raises:
        UserError: the table cannot be written.
    """
    for name in (DATA_FILE, ROBUSTNESS_FILE, FOLDS_FILE):
        (folder / name).unlink(missing_ok=True)
    write_case_table(folder / CASES_FILE, rows)
    summaries = summarize_all(rows)
    write_json(folder / SUMMARY_FILE, summaries)
    return summaries
