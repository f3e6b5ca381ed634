"""Counts of probabilities, from which a set's curves are computed."""

from __future__ import annotations

import numpy as np

from bus_monai.metrics.arrays import ArrayOrTensor, as_array

_LOGITS = np.arange(-14, 14.01, 0.125)
EDGES = 1 / (1 + np.exp(-_LOGITS))
"""Borders of the bins, even in logits: a sigmoid output crowds near 0 and 1, where even probabilities would not tell
it apart. What lies beyond the first and last border has a bin of its own."""
BINS = len(EDGES) + 1
CENTRES = 1 / (1 + np.exp(-np.concatenate([[_LOGITS[0]], (_LOGITS[1:] + _LOGITS[:-1]) / 2, [_LOGITS[-1]]])))
"""The probability that stands for each bin."""


def probability_histogram(probabilities: ArrayOrTensor) -> tuple[int, ...]:
    """Count probabilities in [0, 1] of any shape by bin; ``BINS`` counts.

    A bin holds its lower border, so that thresholding at a border splits no bin.

    Example:
        >>> counts = probability_histogram(np.array([0.0, 0.5, 0.5, 1.0]))
        >>> counts[0], counts[-1], sum(counts), [round(float(CENTRES[i]), 2) for i, n in enumerate(counts) if n == 2]
        (1, 1, 4, [0.52])
    """
    probabilities = as_array(probabilities)
    bins = np.searchsorted(EDGES.astype(probabilities.dtype), probabilities.ravel(), side="right")
    return tuple(int(count) for count in np.bincount(bins, minlength=BINS))
