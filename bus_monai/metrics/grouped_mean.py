"""A mean whose interval heeds groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap

from bus_monai.metrics.classification import RESAMPLES, Interval


def grouped_mean(values: Sequence[float], groups: Sequence[str], *, seed: int = 0) -> Interval:
    """Return the mean with the 95 % percentile interval of a cluster bootstrap (Davison and Hinkley 1997, section 3.8).

    Args:
        values: one a case, also 0 and 1 for a share.
        groups: patient of each case; whole groups are drawn with replacement.
        seed: of the draws.

    Raises:
        ValueError: there is no value, or the lengths differ.
    """
    if not len(values) == len(groups) or not len(values):
        raise ValueError(f"{len(values)} values and {len(groups)} groups: give one each a case.")
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = np.bincount(number, values), np.bincount(number).astype(float)
    mean = float(sums.sum() / counts.sum())
    if len(sums) == 1:
        return Interval(mean, None, None)
    interval = bootstrap(
        (sums, counts),
        lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis),
        n_resamples=RESAMPLES,
        vectorized=True,
        paired=True,
        method="percentile",
        random_state=seed,
    ).confidence_interval
    return Interval(mean, float(interval.low), float(interval.high))
