"""ROC curves of classes against all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GRID = np.linspace(0.0, 1.0, 201)
"""False positive rates at which curves are averaged."""


def roc_curve(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false and true positive rates from threshold infinity down, (T,) each, from (0, 0) to (1, 1).

    Equal scores make one step, so that the area under the curve by trapezoids is that of Hanley and McNeil.

    Raises:
        ValueError: there are no positives or no negatives.
    """
    if not positive.any() or positive.all():
        raise ValueError("A ROC curve needs positives and negatives.")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.append(0, np.cumsum(positive[order])[last])
    false = np.append(0, np.cumsum(~positive[order])[last])
    return false / false[-1], true / true[-1]


def macro_roc(true: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the mean true positive rate (201,) of the classes at :data:`GRID`; ``None`` where no class has a curve.

    Curves are averaged at equal false positive rates (vertical averaging: Fawcett, Pattern Recognition Letters 27,
    2006, doi 10.1016/j.patrec.2005.10.010).

    Args:
        true: (N,), class of each case.
        scores: (N, C), a column a class.
    """
    classes = [c for c in range(scores.shape[1]) if 0 < np.count_nonzero(true == c) < len(true)]
    if not classes:
        return None
    mean: NDArray[np.float64] = np.mean([np.interp(GRID, *roc_curve(scores[:, c], true == c)) for c in classes], axis=0)
    return mean
