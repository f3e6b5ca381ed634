"""Schedules of adversarial training, a one-cycle learning rate, and weight averaging."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bus_monai.errors import check_choice, check_number

WARM_UP_SHARE = 0.3
"""Share of the epochs in which the rate rises."""
START_FACTOR, END_FACTOR = 1 / 25, 1 / 1000
"""First and last learning rate, as shares of the highest."""
WARM_UP_FACTOR = 0.1
"""First learning rate before a fall alone, as a share of the highest."""
Batch = Any
SCHEDULES = ("blocked", "interleaved", "paired")


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
    peak = WARM_UP_SHARE * last

    def factor(epoch: int) -> float:
        if epoch < peak:
            return _cosine(START_FACTOR, 1.0, epoch / peak)
        return _cosine(1.0, END_FACTOR, min((epoch - peak) / (last - peak), 1.0))

    return factor


def cosine_rate(epochs: int, *, warm_up: int = 0) -> Callable[[int], float]:
    """Return the factor of an epoch counted from 0, for ``torch.optim.lr_scheduler.LambdaLR``.

    It rises evenly from 1/10 to 1 in the epochs of warm-up and falls as a cosine, to 0 where the epochs are over. As in
    :func:`one_cycle` the number of epochs is in no state: ``CosineAnnealingLR`` and MONAI's ``WarmupCosineSchedule``
    keep that of the first start, and of a run that goes on for longer the rate would rise again.

    Args:
        epochs: of the whole run.
        warm_up: how many of them the rate rises in.

    Example:
        >>> [round(cosine_rate(6, warm_up=2)(epoch), 3) for epoch in range(6)]
        [0.1, 0.55, 1.0, 0.854, 0.5, 0.146]
    """
    warm_up = min(warm_up, epochs)
    fall = max(epochs - warm_up, 1)

    def factor(epoch: int) -> float:
        if epoch < warm_up:
            return WARM_UP_FACTOR + (1 - WARM_UP_FACTOR) * epoch / warm_up
        return _cosine(1.0, 0.0, min((epoch - warm_up) / fall, 1.0))

    return factor


def pretraining_rate(*, epochs: int, rate: float, then: float) -> Callable[[int], float]:
    """Return the factor of ``then`` in an epoch counted from 0, for ``torch.optim.lr_scheduler.LambdaLR``.

    The rate falls from ``rate`` to 0 as a cosine over the epochs of pre-training, which so come to their end, and is
    ``then`` after them.

    Args:
        epochs: of pre-training; 0 for none.
        rate: learning rate of its first epoch.
        then: learning rate of the optimizer.

    Raises:
        UserError: a rate that is not above 0.

    Example:
        >>> factor = pretraining_rate(epochs=4, rate=1e-3, then=1e-4)
        >>> [round(factor(epoch), 3) for epoch in range(6)]
        [10.0, 8.536, 5.0, 1.464, 1.0, 1.0]
    """
    check_number("pretrain_lr", rate, above=0)
    check_number("g_lr", then, above=0)
    return lambda epoch: _cosine(rate / then, 0.0, epoch / epochs) if epoch < epochs else 1.0


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class Step(NamedTuple):
    """One optimizer step on one batch, of one network or of both: the discriminator's, then the generator's."""

    network: Literal["generator", "discriminator", "both"]
    batch: Batch


class Schedule(ABC):
    """Order of the steps of an epoch; one list of steps is one iteration of the engine.

    Args:
        pretrain_epochs: first epochs in which the generator alone learns, by the region loss alone.

    Raises:
        UserError: ``pretrain_epochs`` below 0.
    """

    iterations_per_batch = 1

    def __init__(self, *, pretrain_epochs: int = 0) -> None:
        check_number("pretrain_epochs", pretrain_epochs, at_least=0, whole=True)
        self.pretrain_epochs = pretrain_epochs

    def epoch_length(self, batches: int) -> int:
        """Return the iterations of an epoch over a loader of ``batches`` batches."""
        return self.iterations_per_batch * batches

    @abstractmethod
    def iterations(self, passes: Iterator[Iterable[Batch]], *, batches: int, pretraining: bool) -> Iterator[list[Step]]:
        """Yield the steps of each iteration of one epoch.

        Args:
            passes: endless passes over the training data, each shuffled and augmented afresh.
            batches: batches in a pass.
            pretraining: only the generator learns; the number of iterations stays the same, so that the position in
                training is one number, and the discriminator's share of them is empty.
        """


class GeneratorOnly(Schedule):
    """Plain supervised training: every iteration is a generator step.

    Example:
        >>> steps = GeneratorOnly().iterations(iter([["a", "b"]] * 9), batches=2, pretraining=False)
        >>> [[(step.network[0], step.batch) for step in iteration] for iteration in steps]
        [[('g', 'a')], [('g', 'b')]]
    """

    def iterations(self, passes: Iterator[Iterable[Batch]], *, batches: int, pretraining: bool) -> Iterator[list[Step]]:
        """Yield a generator step per batch."""
        for batch in next(passes):
            yield [Step("generator", batch)]


class Blocked(Schedule):
    """All discriminator steps of an epoch, then all generator steps, each block one pass over the data.

    Algorithm 1 of RDA-NET-GAN (Enobun et al.): sigma critic steps, then sigma generator steps.

    Example:
        >>> steps = Blocked().iterations(iter([["a", "b"]] * 9), batches=2, pretraining=False)
        >>> [[(step.network[0], step.batch) for step in iteration] for iteration in steps]
        [[('d', 'a')], [('d', 'b')], [('g', 'a')], [('g', 'b')]]
    """

    iterations_per_batch = 2

    def iterations(self, passes: Iterator[Iterable[Batch]], *, batches: int, pretraining: bool) -> Iterator[list[Step]]:
        """Yield the block of the discriminator, then that of the generator."""
        if pretraining:
            for _ in range(batches):
                yield []
        else:
            for batch in next(passes):
                yield [Step("discriminator", batch)]
        for batch in next(passes):
            yield [Step("generator", batch)]


class Interleaved(Schedule):
    """``n_critic`` discriminator steps on successive batches, then one generator step, for each batch of the epoch.

    Args:
        n_critic: discriminator steps before each generator step; 5 in Arjovsky et al. (2017).
        pretrain_epochs: as in :class:`Schedule`.

    Example:
        >>> steps = Interleaved(n_critic=2).iterations(iter([["a", "b"]] * 9), batches=2, pretraining=False)
        >>> [[(step.network[0], step.batch) for step in iteration] for iteration in steps]
        [[('d', 'a'), ('d', 'b'), ('g', 'a')], [('d', 'a'), ('d', 'b'), ('g', 'b')]]
    """

    def __init__(self, *, n_critic: int = 5, pretrain_epochs: int = 0) -> None:
        super().__init__(pretrain_epochs=pretrain_epochs)
        check_number("n_critic", n_critic, at_least=1, whole=True)
        self.n_critic = n_critic

    def iterations(self, passes: Iterator[Iterable[Batch]], *, batches: int, pretraining: bool) -> Iterator[list[Step]]:
        """Yield the steps that precede and include each generator step."""
        generator_pass = next(passes)
        discriminator_batches = (batch for one in passes for batch in one)
        for batch in generator_pass:
            critic = [] if pretraining else [next(discriminator_batches) for _ in range(self.n_critic)]
            yield [*(Step("discriminator", b) for b in critic), Step("generator", batch)]


class Paired(Schedule):
    """A discriminator step and a generator step on the same batch and the same prediction, as in pix2pix.

    Isola et al., CVPR 2017, arXiv 1611.07004; also cGAN+AC+CAW (Singh et al., ESWA 2020).

    Example:
        >>> steps = Paired().iterations(iter([["a", "b"]] * 9), batches=2, pretraining=False)
        >>> [[(step.network[0], step.batch) for step in iteration] for iteration in steps]
        [[('b', 'a')], [('b', 'b')]]
    """

    def iterations(self, passes: Iterator[Iterable[Batch]], *, batches: int, pretraining: bool) -> Iterator[list[Step]]:
        """Yield a step of both networks per batch."""
        for batch in next(passes):
            yield [Step("generator" if pretraining else "both", batch)]


def make_schedule(name: str, *, n_critic: int = 5, gan_mode: str = "wgan", pretrain_epochs: int = 0) -> Schedule:
    """Make the schedule of a name; without an adversary it is :class:`GeneratorOnly`.

    Args:
        name: one of ``SCHEDULES``.
        n_critic: of ``interleaved``.
        gan_mode: as in :func:`~bus_monai.losses.adversarial.make_objective`; ``none`` for no adversary.
        pretrain_epochs: as in :class:`Schedule`.

    Raises:
        UserError: unknown name, or a number out of its range.

    Example:
        >>> make_schedule("blocked", pretrain_epochs=10).epoch_length(7)
        14
    """
    check_choice("schedule", name, SCHEDULES)
    if gan_mode == "none":
        return GeneratorOnly(pretrain_epochs=pretrain_epochs)
    if name == "interleaved":
        return Interleaved(n_critic=n_critic, pretrain_epochs=pretrain_epochs)
    kind = Blocked if name == "blocked" else Paired
    return kind(pretrain_epochs=pretrain_epochs)


def weight_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of the weights and statistics of ``network``, a copy at first.

    The share that update n keeps rises to ``decay`` as (1 + n) / (10 + n), after TensorFlow's
    ``ExponentialMovingAverage``: a short training would else hardly leave the weights that it starts from.

    Args:
        network: what is trained.
        decay: share of the average that an update keeps in the end, in [0, 1); 0 for no average.

    Raises:
        UserError: ``decay`` outside its range.

    Example:
        >>> network = nn.Linear(1, 1)
        >>> average = weight_average(network, 0.9)
        >>> average.update_parameters(network)
        >>> bool((average.module.weight == network.weight).all())
        True
    """
    check_number("ema_decay", decay, at_least=0, below=1)

    # torch gives it no types
    make_update: Callable[[float], Callable[..., None]] = get_ema_multi_avg_fn

    def update(average: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        done = int(updates)
        make_update(min(decay, (1 + done) / (10 + done)))(average, current, updates)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)
