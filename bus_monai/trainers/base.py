"""Base of the trainers: resumable state, seeded epochs, frozen networks, processes, memory."""

from __future__ import annotations

import logging
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Events
from ignite.utils import manual_seed
from monai.data.samplers import DistributedSampler as UnevenSampler
from monai.data.utils import set_rnd
from monai.engines.trainer import Trainer
from monai.utils.enums import AdversarialIterationEvents
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from bus_monai.errors import UserError
from bus_monai.trainers.parts import Updates

logger = logging.getLogger("bus_monai")
PASSES_PER_EPOCH = 1_000
"""Room for the passes of an epoch between the seeds of two epochs."""


@contextmanager
def frozen(network: nn.Module, *, training: bool = False) -> Iterator[nn.Module]:
    """Run a network without changing its parameters: no gradient for them, and evaluation mode.

    Args:
        network: what is only asked.
        training: training mode instead, in which the running means of batch normalization go on.
    """
    before = network.training
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.train(training).requires_grad_(False)
    try:
        yield network
    finally:
        network.train(before)
        for parameter in learning:
            parameter.requires_grad_(True)


def plain(network: nn.Module | None) -> nn.Module:
    """Return the network inside a distributed wrapper, or the network itself."""
    assert network is not None
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network


def join_processes() -> None:
    """Join the processes that ``torchrun`` started, over NCCL with CUDA and over Gloo without.

    Raises:
        UserError: not started by ``torchrun``.
    """
    if "LOCAL_RANK" not in os.environ:
        raise UserError(
            "multi_gpu_train.json needs several processes: start it with 'torchrun --nproc_per_node N -m monai.bundle "
            "run training --config_file ...', or leave it out."
        )
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        if torch.cuda.is_available():
            torch.cuda.set_device(own_device())


def own_device() -> torch.device:
    """Return the device of this process."""
    return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")


def is_main_process() -> bool:
    """Whether this is the first process of a training, or the only one: the one that writes files."""
    return not _are_several() or dist.get_rank() == 0


def _are_several() -> bool:
    return dist.is_available() and dist.is_initialized()


def leave_processes() -> None:
    """Wait for all processes, the first of which may still be writing, and leave them."""
    # the launcher stops all when one is gone, and one that ends may fail in doing so
    dist.barrier()
    dist.destroy_process_group()


def share_buffers(networks: Iterable[nn.Module]) -> None:
    """Give all processes the buffers of the first, such as the running statistics of batch norm; alone, do nothing."""
    if not _are_several():
        return
    for network in networks:
        for buffer in network.buffers():
            # counters are the same in all processes, and not always where the backend can reach them
            if buffer.is_floating_point():
                dist.broadcast(buffer, src=0)


def on_device(network: nn.Module, device: torch.device | str) -> nn.Module:
    """Return the network on a device, in the layout of memory in which convolutions are fastest."""
    # the types of PyTorch know no format of memory here
    return network.to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def in_processes(network: nn.Module, device: torch.device | str, *, broadcast_buffers: bool = True) -> nn.Module:
    """Return the network on a device, trained together with those of the other processes.

    Args:
        network: what is trained.
        device: of this process.
        broadcast_buffers: give all processes the buffers of the first before each pass; a network that is passed twice
            before it learns must do without.
    """
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else None
    return nn.parallel.DistributedDataParallel(
        on_device(network, device), device_ids=devices, broadcast_buffers=broadcast_buffers
    )


def optimizers_of(networks: Iterable[nn.Module], optimizer: Callable[..., Optimizer]) -> list[Optimizer]:
    """Return an optimizer of its own for each network, made from its parameters."""
    return [optimizer(network.parameters()) for network in networks]


def validation_sampler(dataset: Dataset[Any]) -> UnevenSampler:
    """Return a sampler of this process's share of ``dataset``, each of whose items one process has.

    Raises:
        UserError: there are fewer items than processes.
    """
    count, processes = len(dataset), dist.get_world_size()  # type: ignore[arg-type]
    if count < processes:
        raise UserError(
            f"The section 'validation' gives {count} items to {processes} processes: add cases, or start fewer "
            "processes."
        )
    return UnevenSampler(dataset, even_divisible=False, shuffle=False)


class SeededEpochs:
    """Endless passes over a loader, shuffled and augmented as ``(seed, epoch, pass)`` says.

    Every source of chance (Python, NumPy, torch, the transforms of the data set, the distributed sampler) is seeded
    when a pass begins, so an epoch is the same whether the process has run since the first epoch or was resumed at
    this one. Random states need not be stored: the seed is the state.

    Args:
        loader: the training loader. Its workers, if any, must not be persistent: they are seeded when they start.
        seed: of the whole run.

    Raises:
        UserError: the loader has no batch.
    """

    def __init__(self, loader: DataLoader[Any], *, seed: int) -> None:
        if not len(loader):
            raise UserError(
                f"There is no batch of {loader.batch_size} images to train on: label more images, or make batch_size "
                "smaller.",
                key="batch_size",
            )
        if loader.persistent_workers:
            raise ValueError("loader must not have persistent_workers: their random state outlives an epoch.")
        self.loader = loader
        self.seed = seed

    def passes(self, epoch: int) -> Iterator[Iterable[Any]]:
        """Return the passes of an epoch, counted from 1."""
        return (self._one_pass(epoch * PASSES_PER_EPOCH + i) for i in count())

    def _one_pass(self, number: int) -> Iterator[Any]:
        rank = dist.get_rank() if _are_several() else 0
        manual_seed((self.seed * 1_000_003 + number * 101 + rank) % 2**32)
        set_rnd(self.loader.dataset, seed=(self.seed + number * 7919 + rank) % 2**32)
        if isinstance(self.loader.sampler, DistributedSampler):
            self.loader.sampler.set_epoch(number)
        yield from self.loader


NEEDS_TWO_IMAGES = "Expected more than 1 value per channel"
"""What batch norm of PyTorch says of a batch that is one image of one pixel at its depth."""


class ResumableTrainer(Trainer):
    """A MONAI trainer that goes on after a killed run as if nothing had happened.

    The chance of an epoch depends on the seed and its number alone, so the state is that of the networks, their
    optimizers and the number of the epoch. A subclass calls ``_set_up`` when MONAI's constructor is done, and names
    what it trains in ``_stateful_parts``.
    """

    epochs: SeededEpochs
    pretrain_epochs = 0
    """First epochs, after which training goes on from the best of them."""
    kept_after = 0
    """First epochs, whose weights are not kept once a later epoch is validated."""

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take other weights of what was pre-trained, without the memory that its optimizer has of the old ones."""
        raise NotImplementedError

    def _set_up(self, *, seed: int, updates: Updates) -> None:
        # MONAI keeps a name such as 'cpu' as it was given
        self.state.device = torch.device(self.state.device)
        # copies from pinned memory overlap with work of the device
        self.non_blocking = self.state.device.type == "cuda"
        self.mixed_precision = updates.amp and gains_by_half_precision(self.state.device)
        if updates.amp and not self.mixed_precision:
            logger.warning("This processor has no fast bfloat16: training is in float32, which takes longer.")
        self.state.seed = seed
        self.max_grad_norm = updates.max_grad_norm
        self.lr_schedulers = tuple(updates.lr_schedulers)
        # not when an epoch ends, so that its handlers see the rate that it had
        self.add_event_handler(Events.EPOCH_STARTED, self._step_schedulers)
        # first of all when an epoch ends: every process validates the network that the first one saves
        self.add_event_handler(Events.EPOCH_COMPLETED, self._share_buffers)
        self.register_events(*AdversarialIterationEvents)

    @property
    @abstractmethod
    def stage(self) -> str:
        """Name of the current epoch's stage."""

    @property
    @abstractmethod
    def stage_end(self) -> int:
        """Last epoch of the current epoch's stage."""

    def is_due(self, interval: int) -> bool:
        """Whether what happens every ``interval`` epochs, and in the last one, happens in the current epoch."""
        epoch, last = self.state.epoch, self.state.max_epochs
        return epoch % interval == 0 or epoch == last or bool(self.should_terminate)

    def run(self) -> None:
        """Train up to ``max_epochs``; a finished run that is resumed stays as it is.

        Ignite would start such a run anew from its first epoch.
        """
        if self.state.epoch >= self.state.max_epochs:
            logger.warning(
                "Nothing is left to train: %d of %d epochs are done.", self.state.epoch, self.state.max_epochs
            )
            return
        super().run()

    @abstractmethod
    def epoch_iterations(self) -> Iterator[Any]:
        """Yield what each iteration of the current epoch takes."""

    def _step_schedulers(self) -> None:
        if self.state.epoch > 1:
            with warnings.catch_warnings():
                # in a resumed run the optimizer's steps were those of another process
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step\\(\\)` before", UserWarning)
                for scheduler in self.lr_schedulers:
                    scheduler.step()

    def _share_buffers(self) -> None:
        share_buffers(part for _, part in self._stateful_parts() if isinstance(part, nn.Module))

    @contextmanager
    def _forward_pass(self) -> Iterator[None]:
        """Compute in half precision, where that gains, what a network makes of a batch."""
        # MONAI's engines ask for CUDA's autocast whatever the device is
        device_type = self.state.device.type
        dtype = torch.float16 if device_type == "cuda" else torch.bfloat16
        try:
            with torch.autocast(device_type, dtype=dtype, enabled=self.mixed_precision):
                yield
        except ValueError as error:
            if NEEDS_TWO_IMAGES not in str(error):
                raise
            raise UserError(
                "Batch norm of one image and one pixel has nothing to compare: make batch_size at least 2, or "
                "image_size larger.",
                key="batch_size",
            ) from error

    def _make_scaler(self) -> torch.amp.GradScaler:
        return torch.amp.GradScaler("cuda", enabled=self.mixed_precision and self.state.device.type == "cuda")

    def _update(self, network: nn.Module, optimizer: Optimizer, scaler: torch.amp.GradScaler) -> Tensor:
        scaler.unscale_(optimizer)
        if self.max_grad_norm:
            norm = clip_grad_norm_(network.parameters(), self.max_grad_norm)
        else:  # without a bound PyTorch would multiply every gradient by 1
            norm = get_total_norm(one.grad for one in network.parameters() if one.grad is not None)
        scaler.step(optimizer)
        scaler.update()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as of the last completed epoch.

        Networks are stored without the wrapper of distributed training, so that a run may go on with another number
        of processes.
        """
        state: dict[str, Any] = {
            "epoch": self.state.epoch,
            "seed": self.state.seed,
            "best_metric": self.state.best_metric,
            "best_metric_epoch": self.state.best_metric_epoch,
            "lr_schedulers": [scheduler.state_dict() for scheduler in self.lr_schedulers],
        }
        for name, part in self._stateful_parts():
            state[name] = part.state_dict()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up a run where ``state_dict`` left it.

        Raises:
            UserError: the state is of other networks.
        """
        for name, part in self._stateful_parts():
            if name not in state_dict:
                raise UserError(
                    f"The checkpoint holds no {name!r}: it comes from a run with other networks; start afresh or "
                    "give the options of that run."
                )
            try:
                part.load_state_dict(state_dict[name])
            except (RuntimeError, ValueError) as error:
                raise UserError(
                    f"The {name} of the checkpoint does not fit this configuration ({_first_line(error)}): give the "
                    "network options of the run that wrote it, or start afresh."
                ) from error
        for scheduler, saved in zip(self.lr_schedulers, state_dict["lr_schedulers"], strict=True):
            # a run of earlier versions may have had another scheduler, which knew less
            scheduler.load_state_dict(scheduler.state_dict() | saved)
        self.state.epoch = state_dict["epoch"]
        self.state.iteration = state_dict["epoch"] * self.state.epoch_length
        self.state.seed = self.epochs.seed = state_dict["seed"]
        self.state.best_metric = state_dict["best_metric"]
        self.state.best_metric_epoch = state_dict["best_metric_epoch"]

    @abstractmethod
    def _stateful_parts(self) -> Iterator[tuple[str, Any]]:
        """Yield name and part of whatever has a ``state_dict``."""


class EpochData:
    """The data of a trainer: iterating it once gives what the iterations of one epoch take."""

    def __init__(self, trainer: ResumableTrainer) -> None:
        self.trainer = trainer

    def __iter__(self) -> Iterator[Any]:
        # a generator, so that nothing is drawn before the epoch's first iteration asks for it
        yield from self.trainer.epoch_iterations()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()[:200]


def gains_by_half_precision(device: torch.device) -> bool:
    """Return whether networks run faster on ``device`` in half precision than in float32.

    On processors that is bfloat16, for which they need instructions of their own, Arm's BF16 or AVX-512 BF16. With AVX2
    PyTorch falls back to plain loops, and a training step of RDAU-NET takes 12 times as long as in float32 (one core of
    an AMD EPYC); with AVX-512 alone oneDNN emulates them, and a convolution of 64 channels takes 5 times as long.
    """
    if device.type == "cuda":
        return True
    # builds of PyTorch without oneDNN, such as those for macOS, lack the operator
    has_kernels = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (has_kernels and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    # of processors with AVX-512 the operator says so whether they have its BF16 or not; what PyTorch's own kernels use
    # is no answer, since ATEN_CPU_CAPABILITY sets it
    return not torch.cpu._is_avx512_supported() or torch.cpu._is_avx512_bf16_supported()
