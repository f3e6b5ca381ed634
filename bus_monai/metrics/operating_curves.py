"""Curves over the pixels of a set (ROC, precision and recall, calibration), and agreement of measures and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.classification import INTERVAL_PERCENTILES, Interval
from bus_monai.metrics.segmentation import BIN_CENTERS, BIN_COUNT

RELIABILITY_BINS = 10


@dataclass(frozen=True)
class BlandAltman:
    """Differences of two measurements over their means (Bland and Altman, Lancet 1986).

    Args:
        mean: (first + second) / 2 of each case, in ``unit``.
        difference: first minus second of each case.
        bias: mean difference.
        low: bias - 1.96 standard deviations, the lower limit of agreement.
        high: bias + 1.96 standard deviations.
        unit: of the measurements.
    """

    mean: NDArray[np.float64]
    difference: NDArray[np.float64]
    bias: float
    low: float
    high: float
    unit: str

    @classmethod
    def of(cls, first: Sequence[float], second: Sequence[float], unit: str) -> BlandAltman | None:
        """Compare two measurements of each case; ``None`` with fewer than two cases.

        Example:
            >>> found = BlandAltman.of([10.0, 12.0], [11.0, 12.0], "mm")
            >>> found.difference, found.bias
            (array([-1.,  0.]), -0.5)
        """
        if len(first) < 2:
            return None
        ours, theirs = np.asarray(first, np.float64), np.asarray(second, np.float64)
        difference = ours - theirs
        bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
        return cls((ours + theirs) / 2, difference, bias, bias - spread, bias + spread, unit)


def bland_altman(rows: Sequence[CaseRow]) -> BlandAltman | None:
    """Compare predicted and true areas of the cases with a lesion; ``None`` with fewer than two of them.

    The unit is ``mm²`` where the spacing of every case is known, else ``px``.

    Example:
        >>> from bus_monai.metrics.segmentation import score_case
        >>> truth = np.array([[1, 1, 0, 0]])
        >>> scores = {"a": score_case(np.array([[0.9, 0.1, 0.1, 0.1]]), truth), "b": score_case(1.0 * truth, truth)}
        >>> rows = [CaseRow.of(case, id=id, group=id, diagnosis="benign") for id, case in scores.items()]
        >>> agreement = bland_altman(rows)
        >>> agreement.difference, agreement.bias, agreement.unit
        (array([-1.,  0.]), -0.5, 'px')
    """
    rows = [row for row in rows if row.has_lesion]
    known = all(row.true_area_mm2 is not None for row in rows)
    suffix, unit = ("mm2", "mm²") if known else ("px", "px")
    predicted, true = ([getattr(row, f"{name}_area_{suffix}") for row in rows] for name in ("predicted", "true"))
    return BlandAltman.of(predicted, true, unit)


KAPPA_RESAMPLES = 2000


def cohen_kappa(first: Sequence[str], second: Sequence[str], groups: Sequence[str]) -> Interval | None:
    """Return Cohen's kappa (1960) with the 95 % percentile interval of a cluster bootstrap over groups.

    Args:
        first: the word of one rater for each case.
        second: that of the other.
        groups: patient of each case.

    Returns:
        ``None`` where it is not defined, since both use one and the same word for all.

    Example:
        >>> cohen_kappa(["oval", "round", "oval", "round"], ["oval", "round", "oval", "oval"], ["a", "b", "c", "d"])
        Interval(value=0.5, low=0.0, high=1.0)
    """
    from sklearn.metrics import cohen_kappa_score

    words, codes = np.unique([*first, *second], return_inverse=True)
    if len(words) < 2:
        return None
    value = float(cohen_kappa_score(list(first), list(second)))
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    count = int(group.max()) + 1
    tables = np.zeros((count, len(words), len(words)))
    np.add.at(tables, (group, codes[: len(first)], codes[len(first) :]), 1)
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=KAPPA_RESAMPLES)
    drawn = np.tensordot(draws, tables, axes=1)
    total = drawn.sum(axis=(1, 2))
    agreed = np.trace(drawn, axis1=1, axis2=2) / total
    chance = (drawn.sum(axis=1) * drawn.sum(axis=2)).sum(axis=1) / total**2
    kappas = (agreed - chance)[chance < 1] / (1 - chance[chance < 1])
    if count < 2 or not len(kappas):
        return Interval(value, None, None)
    low, high = np.percentile(kappas, INTERVAL_PERCENTILES)
    return Interval(value, float(low), float(high))


@dataclass(frozen=True)
class OperatingCurves:
    """Curves of all pixels together, thresholds from high to low; made of the histograms of a table's rows.

    Args:
        false_positive_rate: background pixels predicted as lesion, from 0 to 1.
        sensitivity: lesion pixels predicted as lesion, from 0 to 1.
        precision: at each sensitivity; 1 where nothing is predicted.
        auc: area under sensitivity over false positive rate.
        average_precision: sum of precision times gain in sensitivity.
        confidence: mean probability of each tenth of the probabilities; NaN where no pixel falls in.
        frequency: share of lesion among the pixels of each tenth.
        share: share of all pixels in each tenth.
        calibration_error: mean of the difference of confidence and frequency, weighted by share (ECE: Naeini, Cooper
            and Hauskrecht, AAAI 2015).
    """

    false_positive_rate: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    precision: NDArray[np.float64]
    auc: float
    average_precision: float
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    share: NDArray[np.float64]
    calibration_error: float


def operating_curves(rows: Sequence[CaseRow]) -> OperatingCurves | None:
    """Compute the curves of a table; ``None`` where lesion or background has no pixel.

    Probabilities are known to a bin of :mod:`~bus_monai.metrics.segmentation`, an eighth of a logit, whose
    center stands for them.

    Example:
        >>> from bus_monai.metrics.segmentation import score_case
        >>> truth = np.array([[1, 1, 0, 0]])
        >>> scores = {"a": score_case(np.array([[0.9, 0.1, 0.1, 0.1]]), truth), "b": score_case(1.0 * truth, truth)}
        >>> rows = [CaseRow.of(case, id=id, group=id, diagnosis="benign") for id, case in scores.items()]
        >>> operating_curves(rows).auc
        0.9375
    """
    from sklearn.metrics import auc

    lesion = np.array([row.lesion_histogram for row in rows], dtype=np.float64).reshape(-1, BIN_COUNT).sum(axis=0)
    background = (
        np.array([row.background_histogram for row in rows], dtype=np.float64).reshape(-1, BIN_COUNT).sum(axis=0)
    )
    if not lesion.sum() or not background.sum():
        return None
    true, false = (np.concatenate([[0.0], np.cumsum(counts[::-1])]) for counts in (lesion, background))
    sensitivity, rate = true / true[-1], false / false[-1]
    precision = np.divide(true, true + false, out=np.ones_like(true), where=true + false > 0)
    total = lesion + background
    tenth = np.minimum((BIN_CENTERS * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    pixels, hits, sums = (
        np.bincount(tenth, weights=values, minlength=RELIABILITY_BINS)
        for values in (total, lesion, total * BIN_CENTERS)
    )
    nothing = np.full(RELIABILITY_BINS, np.nan)
    confidence, frequency = (np.divide(v, pixels, out=nothing.copy(), where=pixels > 0) for v in (sums, hits))
    return OperatingCurves(
        false_positive_rate=rate,
        sensitivity=sensitivity,
        precision=precision,
        auc=float(auc(rate, sensitivity)),
        average_precision=float(np.sum(np.diff(sensitivity) * precision[1:])),
        confidence=confidence,
        frequency=frequency,
        share=pixels / pixels.sum(),
        calibration_error=float(np.abs(sums - hits).sum() / pixels.sum()),
    )
