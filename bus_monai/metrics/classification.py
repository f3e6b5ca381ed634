"""Classification metrics: confusion matrix, F1, AUC and ROC, with intervals over groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from bus_monai.metrics.arrays import ArrayOrTensor, as_array

CLASSIFICATION_RESAMPLES = 1000
INTERVAL_PERCENTILES = (2.5, 97.5)
"""Percentiles of a 95 % interval."""
ROC_GRID = np.linspace(0.0, 1.0, 201)
"""False positive rates at which curves are averaged."""


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


def summarize_classes(
    scores: ArrayOrTensor,
    truth: ArrayOrTensor,
    groups: Sequence[str],
    *,
    resamples: int = CLASSIFICATION_RESAMPLES,
    seed: int = 0,
) -> ClassificationSummary:
    """Compute all figures, with percentile intervals of a cluster bootstrap (Davison and Hinkley 1997, section 3.8).

    Whole groups are drawn with replacement, since the masses of a patient are not independent. A class that a draw
    lacks is left out of the means of that draw.

    Args:
        scores: (N, C), probabilities or logits; the highest one is the predicted class.
        truth: (N,), class of each case, from 0 to C - 1.
        groups: patient of each case.
        resamples: how many draws.
        seed: of the draws.

    Raises:
        ValueError: there is no case, the lengths differ, or a class is not one of C.

    Example:
        >>> scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        >>> summary = summarize_classes(scores, np.array([0, 1, 1, 1]), ["a", "b", "b", "c"])
        >>> summary.accuracy.value, summary.confusion.tolist()
        (0.75, [[1, 0], [1, 2]])
    """
    if not len(scores) == len(truth) == len(groups) or not len(truth):
        raise ValueError(
            f"{len(scores)} scores, {len(truth)} classes and {len(groups)} groups: give one of each per case."
        )
    values, classes = _checked(scores, truth)
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(number == i) for i in range(len(names))]
    rng = np.random.default_rng(seed)
    draws = [
        np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))])
        for _ in range(resamples if len(names) > 1 else 0)
    ]

    def interval(figure: Callable[[NDArray[np.float64], NDArray[np.int64]], float]) -> Interval | None:
        value = figure(values, classes)
        if np.isnan(value):
            return None
        if not draws:
            return Interval(value, None, None)
        low, high = np.nanpercentile([figure(values[draw], classes[draw]) for draw in draws], INTERVAL_PERCENTILES)
        return Interval(value, float(low), float(high))

    accuracy, f1 = interval(_accuracy), interval(macro_f1)
    # both exist as soon as there is a case
    assert accuracy is not None
    assert f1 is not None
    return ClassificationSummary(
        confusion_matrix(values.argmax(axis=1), classes, values.shape[1]),
        class_figures(values, classes),
        accuracy,
        f1,
        interval(macro_auc),
    )


def confusion_matrix(predicted: ArrayOrTensor, truth: ArrayOrTensor, classes: int) -> NDArray[np.int64]:
    """Count the cases of each true class (row) taken for each class (column), (classes, classes).

    Args:
        predicted: (N,), class that each case is taken for, from 0 to ``classes`` - 1.
        truth: (N,), class of each case.
        classes: how many there are.

    Raises:
        ValueError: the lengths differ.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2)
        array([[1, 1],
               [0, 1]])
    """
    from sklearn import metrics

    counts: NDArray[np.int64] = metrics.confusion_matrix(
        as_array(truth), as_array(predicted), labels=np.arange(classes)
    )
    return counts


def class_figures(scores: ArrayOrTensor, truth: ArrayOrTensor) -> tuple[ClassFigures, ...]:
    """Return the figures of each class.

    Args:
        scores: (N, C), the highest one is the predicted class.
        truth: (N,), class of each case, from 0 to C - 1.

    Raises:
        ValueError: shapes do not fit, or a class is not one of C.

    Example:
        >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
        >>> class_figures(scores, np.array([0, 0, 1]))[1]
        ClassFigures(cases=1, precision=0.5, recall=1.0, f1=0.6666666666666666, auc=1.0)
    """
    from sklearn.metrics import precision_recall_fscore_support

    values, classes = _checked(scores, truth)
    labels = np.arange(values.shape[1])
    figures = precision_recall_fscore_support(classes, values.argmax(axis=1), labels=labels, zero_division=np.nan)
    precision, recall, f1 = ([None if np.isnan(one) else float(one) for one in rates] for rates in figures[:3])
    areas = [auc(values[:, c], classes == c) for c in labels]
    return tuple(map(ClassFigures, figures[3].tolist(), precision, recall, f1, areas))


def auc(scores: ArrayOrTensor, positive: ArrayOrTensor) -> float | None:
    """Return the area under the ROC curve, in [0, 1]; ``None`` unless there are both positives and negatives.

    The share of pairs of a positive and a negative case in which the positive scores higher, ties by half, from the sum
    of ranks (Hanley and McNeil, Radiology 143, 1982, doi 10.1148/radiology.143.1.7063747).

    Args:
        scores: (N,), higher for surer.
        positive: (N,), truth values.

    Raises:
        ValueError: the lengths differ.

    Example:
        >>> auc(np.array([0.9, 0.4, 0.6]), np.array([True, False, True]))
        1.0
    """
    values, positives = _one_class(scores, positive)
    n_positive = int(np.count_nonzero(positives))
    pairs = n_positive * (len(positives) - n_positive)
    if not pairs:
        return None
    return float((rankdata(values)[positives].sum() - n_positive * (n_positive + 1) / 2) / pairs)


def macro_f1(scores: ArrayOrTensor, truth: ArrayOrTensor) -> float:
    """Return the mean F1 of the classes that have one: those that some case has or is taken for.

    Takes and raises what :func:`class_figures` does; N is at least 1.

    Example:
        >>> macro_f1(np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), np.array([0, 0, 1]))
        0.6666666666666666
    """
    values, classes = _checked(scores, truth)
    predicted = values.argmax(axis=1)
    taken, cases, right = (
        np.bincount(some, minlength=values.shape[1]) for some in (predicted, classes, classes[predicted == classes])
    )
    size = taken + cases
    return float((2 * right[size > 0] / size[size > 0]).mean())


def macro_auc(scores: ArrayOrTensor, truth: ArrayOrTensor) -> float:
    """Return the mean one-vs-rest AUC of the classes that have one, NaN where none has.

    Takes and raises what :func:`class_figures` does.

    Example:
        >>> macro_auc(np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), np.array([0, 0, 1]))
        1.0
    """
    values, classes = _checked(scores, truth)
    areas = [area for c, score in enumerate(values.T) if (area := auc(score, classes == c)) is not None]
    return float(np.mean(areas)) if areas else float("nan")


def _accuracy(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    return float((scores.argmax(axis=1) == truth).mean())


def _checked(scores: ArrayOrTensor, truth: ArrayOrTensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    values, classes = as_array(scores), as_array(truth)
    if values.ndim != 2 or classes.shape != values.shape[:1]:
        raise ValueError(f"scores must have the shape (N, C) and truth (N,), got {values.shape} and {classes.shape}.")
    if not np.issubdtype(classes.dtype, np.integer) or (
        len(classes) and not 0 <= classes.min() <= classes.max() < values.shape[1]
    ):
        raise ValueError(f"truth must hold whole numbers from 0 to {values.shape[1] - 1}, the classes of scores.")
    return values.astype(np.float64, copy=False), classes.astype(np.int64, copy=False)


def _one_class(scores: ArrayOrTensor, positive: ArrayOrTensor) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, positives = as_array(scores), as_array(positive)
    if values.ndim != 1 or positives.shape != values.shape:
        raise ValueError(f"scores and positive must have the shape (N,), got {values.shape} and {positives.shape}.")
    return values.astype(np.float64, copy=False), positives.astype(bool, copy=False)


def roc_curve(scores: ArrayOrTensor, positive: ArrayOrTensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false and true positive rates from threshold infinity down, (T,) each, from (0, 0) to (1, 1).

    Equal scores make one step, so that the area under the curve by trapezoids is that of Hanley and McNeil.

    Args:
        scores: (N,), higher for surer.
        positive: (N,), truth values.

    Raises:
        ValueError: there are no positives or no negatives, or the lengths differ.

    Example:
        >>> roc_curve(np.array([0.9, 0.4, 0.6]), np.array([True, False, True]))
        (array([0., 0., 0., 1.]), array([0. , 0.5, 1. , 1. ]))
    """
    from sklearn import metrics

    positives = as_array(positive)
    if not positives.any() or positives.all():
        raise ValueError("A ROC curve needs positives and negatives.")
    false, true, _ = metrics.roc_curve(positives, as_array(scores), drop_intermediate=False)
    return false, true


def macro_roc(scores: ArrayOrTensor, truth: ArrayOrTensor) -> NDArray[np.float64] | None:
    """Return the mean true positive rate (201,) of classes at :data:`ROC_GRID`; ``None`` where no class has a curve.

    Curves are averaged at equal false positive rates (vertical averaging: Fawcett, Pattern Recognition Letters 27,
    2006, doi 10.1016/j.patrec.2005.10.010). Takes and raises what :func:`class_figures` does.

    Example:
        >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
        >>> float(macro_roc(scores, np.array([0, 0, 1])).mean())
        1.0
    """
    values, classes = _checked(scores, truth)
    curves = [
        np.interp(ROC_GRID, *roc_curve(score, classes == c))
        for c, score in enumerate(values.T)
        if 0 < np.count_nonzero(classes == c) < len(classes)
    ]
    return np.mean(curves, axis=0) if curves else None
