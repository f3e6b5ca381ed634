"""What the trainers of this package share: mixed precision, clipped updates, bit-equal resume."""

from __future__ import annotations

import logging
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from ignite.engine import Events
from monai.engines.trainer import Trainer
from monai.utils.enums import AdversarialIterationEvents
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from bus_monai.engines.parts import Updates
from bus_monai.engines.processes import share_buffers
from bus_monai.engines.seeded_epochs import SeededEpochs
from bus_monai.errors import UserError
from bus_monai.half_precision import gains_by_half_precision

logger = logging.getLogger("bus_monai")


class ResumableTrainer(Trainer):
    """A MONAI trainer that goes on after a killed run as if nothing had happened.

    The chance of an epoch depends on the seed and its number alone, so the state is that of the networks, their
    optimisers and the number of the epoch. A subclass calls ``_set_up`` when MONAI's constructor is done, and names
    what it trains in ``_stateful_parts``.
    """

    epochs: SeededEpochs

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
        """What is going on in the current epoch, in words."""

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

    def _step_schedulers(self) -> None:
        if self.state.epoch > 1:
            with warnings.catch_warnings():
                # in a resumed run the optimiser's steps were those of another process
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step\\(\\)` before", UserWarning)
                for scheduler in self.lr_schedulers:
                    scheduler.step()

    def _share_buffers(self) -> None:
        share_buffers(part for _, part in self._stateful_parts() if isinstance(part, nn.Module))

    def _autocast(self) -> torch.autocast:
        # MONAI's engines ask for CUDA's autocast whatever the device is
        device_type = self.state.device.type
        dtype = torch.float16 if device_type == "cuda" else torch.bfloat16
        return torch.autocast(device_type, dtype=dtype, enabled=self.mixed_precision)

    def _make_scaler(self) -> torch.amp.GradScaler:
        return torch.amp.GradScaler("cuda", enabled=self.mixed_precision and self.state.device.type == "cuda")

    def _update(self, network: nn.Module, optimizer: Optimizer, scaler: torch.amp.GradScaler) -> Tensor:
        scaler.unscale_(optimizer)
        norm = clip_grad_norm_(network.parameters(), self.max_grad_norm or float("inf"))
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
            scheduler.load_state_dict(saved)
        self.state.epoch = state_dict["epoch"]
        self.state.iteration = state_dict["epoch"] * self.state.epoch_length
        self.state.seed = self.epochs.seed = state_dict["seed"]
        self.state.best_metric = state_dict["best_metric"]
        self.state.best_metric_epoch = state_dict["best_metric_epoch"]

    @abstractmethod
    def _stateful_parts(self) -> Iterator[tuple[str, Any]]:
        """Yield name and part of whatever has a ``state_dict``."""


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()[:200]
