"""How well cases are told apart into classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

RESAMPLES = 1000
LEVEL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""


@dataclass(frozen=True)
class ClassFigures:
    """A class against all others; ``None`` where a figure has no denominator.

    Args:
        cases: of this class.
        precision: share of this class among the cases taken for it.
        recall: share of its cases taken for it.
        f1: harmonic mean of both; 0 where none of its cases, or of those taken for it, is right.
        auc: area under the ROC of its score, from 0 to 1.
    """

    cases: int
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; the ends are ``None`` for a single group, which gives no interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClassificationSummary:
    """All figures of a classifier.

    Args:
        confusion: (C, C), true class in rows.
        classes: figures of each class.
        accuracy: share of the cases told right.
        macro_f1: mean F1 of the classes that have one.
        macro_auc: mean one-vs-rest AUC of the classes that have one; ``None`` where none has.
    """

    confusion: NDArray[np.int64]
    classes: tuple[ClassFigures, ...]
    accuracy: Interval
    macro_f1: Interval
    macro_auc: Interval | None


def summarise_classes(
    true: NDArray[np.int64],
    scores: NDArray[np.float64],
    groups: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ClassificationSummary:
    """Compute all figures, with percentile intervals of a cluster bootstrap (Davison and Hinkley 1997, section 3.8).

    Whole groups are drawn with replacement, since the masses of a patient are not independent. A class that a draw
    lacks is left out of the means of that draw.

    Args:
        true: (N,), class of each case, from 0 to C - 1.
        scores: (N, C), probabilities or logits; the highest one is the predicted class.
        groups: patient of each case.
        resamples: how many draws.
        seed: of the draws.

    Raises:
        ValueError: there is no case, or the lengths differ.
    """
    if not len(true) == len(scores) == len(groups) or not len(true):
        raise ValueError(f"{len(true)} classes, {len(scores)} scores and {len(groups)} groups: give one each a case.")
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(number == i) for i in range(len(names))]
    rng = np.random.default_rng(seed)
    draws = [
        np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))])
        for _ in range(resamples if len(names) > 1 else 0)
    ]

    def interval(figure: Callable[[NDArray[np.int64], NDArray[np.float64]], float]) -> Interval | None:
        value = figure(true, scores)
        if np.isnan(value):
            return None
        if not draws:
            return Interval(value, None, None)
        low, high = np.nanpercentile([figure(true[draw], scores[draw]) for draw in draws], LEVEL)
        return Interval(value, float(low), float(high))

    accuracy, f1 = interval(_accuracy), interval(macro_f1)
    # both exist as soon as there is a case
    assert accuracy is not None
    assert f1 is not None
    return ClassificationSummary(
        confusion_matrix(true, scores.argmax(axis=1), scores.shape[1]),
        class_figures(true, scores),
        accuracy,
        f1,
        interval(macro_auc),
    )


def confusion_matrix(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count the cases of each true class (row) taken for each class (column), (classes, classes)."""
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_figures(true: NDArray[np.int64], scores: NDArray[np.float64]) -> tuple[ClassFigures, ...]:
    """Return the figures of each class from true classes (N,) and scores (N, C)."""
    confusion = confusion_matrix(true, scores.argmax(axis=1), scores.shape[1])
    right, cases, taken = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return tuple(
        ClassFigures(
            cases=int(cases[c]),
            precision=float(right[c] / taken[c]) if taken[c] else None,
            recall=float(right[c] / cases[c]) if cases[c] else None,
            f1=float(2 * right[c] / (cases[c] + taken[c])) if cases[c] + taken[c] else None,
            auc=auc(scores[:, c], true == c),
        )
        for c in range(scores.shape[1])
    )


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve, in [0, 1]; ``None`` unless there are both positives and negatives.

    The share of pairs of a positive and a negative case in which the positive scores higher, ties by half, from the sum
    of ranks (Hanley and McNeil, Radiology 143, 1982, doi 10.1148/radiology.143.1.7063747).
    """
    n_positive = int(positive.sum())
    pairs = n_positive * (len(positive) - n_positive)
    if not pairs:
        return None
    return float((rankdata(scores)[positive].sum() - n_positive * (n_positive + 1) / 2) / pairs)


def class_weights(true: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return N / (C N_c) for each class, (classes,): weights under which all classes count alike and the mean is 1.

    Raises:
        ValueError: a class has no case.
    """
    counts = np.bincount(true, minlength=classes)
    if not counts.all():
        raise ValueError(f"Class {int(counts.argmin())} has no case: give cases of each of the {classes} classes.")
    return len(true) / (classes * counts)


def macro_f1(true: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Return the mean F1 of the classes that have one, from true classes (N,), at least one, and scores (N, C)."""
    confusion = confusion_matrix(true, scores.argmax(axis=1), scores.shape[1])
    size = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float((2 * confusion.diagonal()[size > 0] / size[size > 0]).mean())


def macro_auc(true: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Return the mean one-vs-rest AUC of the classes that have one, NaN where none has."""
    values = [value for c in range(scores.shape[1]) if (value := auc(scores[:, c], true == c)) is not None]
    return float(np.mean(values)) if values else float("nan")


def _accuracy(true: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    return float((scores.argmax(axis=1) == true).mean())
