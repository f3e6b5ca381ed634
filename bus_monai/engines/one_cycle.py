"""The one-cycle learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable

WARM_UP = 0.3
"""Share of the epochs in which the rate rises."""
START, END = 1 / 25, 1 / 1000
"""Where it starts and ends, as shares of the highest."""


def one_cycle(epochs: int) -> Callable[[int], float]:
    """Return the factor of an epoch counted from 0, for ``torch.optim.lr_scheduler.LambdaLR``.

    It rises from 1/25 to 1 in the first three tenths of the epochs and falls to 1/1000 at the last, both as a cosine
    (Smith and Topin, arXiv 1708.07120). ``OneCycleLR`` keeps the number of epochs in its state, so that a run which
    goes on for longer than it was planned would fail.

    Args:
        epochs: of the whole run.

    Example:
        >>> [round(one_cycle(11)(epoch), 3) for epoch in (0, 3, 10)]
        [0.04, 1.0, 0.001]
    """
    last = max(epochs - 1, 1)
    peak = WARM_UP * last

    def factor(epoch: int) -> float:
        if epoch < peak:
            return _cosine(START, 1.0, epoch / peak)
        return _cosine(1.0, END, min((epoch - peak) / (last - peak), 1.0))

    return factor


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
