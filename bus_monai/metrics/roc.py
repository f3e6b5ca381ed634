"""ROC curves of classes against all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bus_monai.metrics.arrays import ArrayOrTensor, as_array

GRID = np.linspace(0.0, 1.0, 201)
"""False positive rates at which curves are averaged."""


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
    """Return the mean true positive rate (201,) of the classes at :data:`GRID`; ``None`` where no class has a curve.

    Curves are averaged at equal false positive rates (vertical averaging: Fawcett, Pattern Recognition Letters 27,
    2006, doi 10.1016/j.patrec.2005.10.010).

    Args:
        scores: (N, C), a column a class.
        truth: (N,), class of each case, from 0 to C - 1.

    Raises:
        ValueError: shapes do not fit.

    Example:
        >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
        >>> float(macro_roc(scores, np.array([0, 0, 1])).mean())
        1.0
    """
    values, classes = as_array(scores), as_array(truth)
    if values.ndim != 2 or classes.shape != values.shape[:1]:
        raise ValueError(f"scores must have the shape (N, C) and truth (N,), got {values.shape} and {classes.shape}.")
    curves = [
        np.interp(GRID, *roc_curve(score, classes == c))
        for c, score in enumerate(values.T)
        if 0 < np.count_nonzero(classes == c) < len(classes)
    ]
    return np.mean(curves, axis=0) if curves else None
