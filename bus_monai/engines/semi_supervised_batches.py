"""Labelled and unlabelled batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import Any, NamedTuple


class SemiSupervisedBatches(NamedTuple):
    """What an iteration learns from; ``None`` for what it does without."""

    labeled: Any = None
    unlabeled: Any = None


def semi_supervised_batches(
    labeled: Iterator[Iterable[Any]] | None, unlabeled: Iterator[Iterable[Any]] | None, *, length: int
) -> Iterator[SemiSupervisedBatches]:
    """Yield the batches of each iteration of an epoch.

    One pass over the unlabelled data, each batch beside the next labelled one of as many passes as it takes; without
    unlabelled data one pass over the labelled. Then empty iterations, so that all epochs are of one length and the
    position in training is one number.

    Args:
        labeled: endless passes over the labelled data, or ``None``.
        unlabeled: endless passes over the unlabelled data, or ``None``; not both.
        length: iterations of the epoch, at least the batches of a pass.
    """
    if unlabeled is not None:
        beside = repeat(None) if labeled is None else chain.from_iterable(labeled)
        # the unlabelled batch first: where it ends, no labelled one is drawn in vain
        filled = (SemiSupervisedBatches(known, batch) for batch, known in zip(next(unlabeled), beside, strict=False))
    else:
        assert labeled is not None
        filled = (SemiSupervisedBatches(batch) for batch in next(labeled))
    taken = 0
    for batches in filled:
        yield batches
        taken += 1
    for _ in range(taken, length):
        yield SemiSupervisedBatches()
