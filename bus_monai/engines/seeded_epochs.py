"""Batches that depend on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import torch.distributed as dist
from ignite.utils import manual_seed
from monai.data.utils import set_rnd
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

PASSES_AN_EPOCH = 1_000
"""Room for the passes of an epoch between the seeds of two epochs."""


class SeededEpochs:
    """Endless passes over a loader, shuffled and augmented as ``(seed, epoch, pass)`` says.

    Every source of chance (Python, NumPy, torch, the transforms of the data set, the distributed sampler) is seeded
    when a pass begins, so an epoch is the same whether the process has run since the first epoch or was resumed at
    this one. Random states need not be stored: the seed is the state.

    Args:
        loader: the training loader. Its workers, if any, must not be persistent: they are seeded when they start.
        seed: of the whole run.
    """

    def __init__(self, loader: DataLoader[Any], *, seed: int) -> None:
        if loader.persistent_workers:
            raise ValueError("loader must not have persistent_workers: their random state outlives an epoch.")
        self.loader = loader
        self.seed = seed

    def passes(self, epoch: int) -> Iterator[Iterable[Any]]:
        """Return the passes of an epoch, counted from 1."""
        return (self._one_pass(epoch * PASSES_AN_EPOCH + i) for i in count())

    def _one_pass(self, number: int) -> Iterator[Any]:
        rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        manual_seed((self.seed * 1_000_003 + number * 101 + rank) % 2**32)
        set_rnd(self.loader.dataset, seed=(self.seed + number * 7919 + rank) % 2**32)
        if isinstance(self.loader.sampler, DistributedSampler):
            self.loader.sampler.set_epoch(number)
        yield from self.loader
