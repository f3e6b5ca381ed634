"""The files a training run leaves: its latest state and its best weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from bus_monai.engines.adversarial_trainer import AdversarialTrainer
from bus_monai.errors import UserError

LATEST = "checkpoint.pt"
BEST = "model.pt"


class TrainingCheckpoint:
    """Write ``model.pt`` (best validation so far) and ``checkpoint.pt`` (all that resuming needs).

    ``model.pt`` is the plain state dict of the segmenter, which MONAI's export commands take; ``checkpoint.pt`` is
    written last at the end of an epoch, after validation and logging, so a run that is killed goes on from a moment at
    which all of them agree. Both are written beside their place and renamed: at any moment the file is whole.

    Args:
        folder: where the files go; made when missing.
        evaluator: validates the network; its best metric decides on ``model.pt``.
        network: the segmenter.
        interval: epochs between two ``checkpoint.pt``; the last epoch always writes one.
        resume: go on from ``checkpoint.pt``.
        enabled: ``False`` on all processes but the first: they read, but do not write.

    Raises:
        UserError: the folder cannot be written to, the disk is full, or there is nothing to resume from.
    """

    def __init__(
        self,
        *,
        folder: str | Path,
        evaluator: Engine,
        network: nn.Module,
        interval: int = 1,
        resume: bool = False,
        enabled: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self.evaluator = evaluator
        self.network = network
        self.interval = interval
        self.resume = resume
        self.enabled = enabled
        self.extra: dict[str, Any] = {}
        """What other handlers want to find again after resuming; plain values only."""
        if enabled:
            check_writable(self.folder)

    def attach(self, engine: AdversarialTrainer) -> None:
        """Attach to the trainer; load the latest state at once when resuming."""
        if self.resume:
            self._load(engine)
        if self.enabled:
            self.evaluator.add_event_handler(Events.COMPLETED, self._save_best)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._save_latest)

    def _save_best(self, evaluator: Engine) -> None:
        if evaluator.state.best_metric_epoch == evaluator.state.epoch:
            _save(self.network.state_dict(), self.folder / BEST)

    def _save_latest(self, engine: AdversarialTrainer) -> None:
        if engine.state.epoch % self.interval and engine.state.epoch != engine.state.max_epochs:
            return
        state = {
            "trainer": engine.state_dict(),
            "best_metric": float(self.evaluator.state.best_metric),
            "best_metric_epoch": int(self.evaluator.state.best_metric_epoch),
            "extra": self.extra,
        }
        _save(state, self.folder / LATEST)

    def _load(self, engine: AdversarialTrainer) -> None:
        path = self.folder / LATEST
        if not path.is_file():
            raise UserError(f"There is nothing to resume: '{path}' does not exist; train without resume first.")
        state = load_weights(path)
        engine.load_state_dict(state["trainer"])
        self.evaluator.state.best_metric = state["best_metric"]
        self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        self.extra = state["extra"]


def check_writable(folder: Path) -> None:
    """Make ``folder`` and write a byte to it.

    Raises:
        UserError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"\0")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"Cannot write to '{folder}' ({error.strerror}): free space, mend its permissions, or give another folder."
        ) from error


def load_weights(path: Path) -> Any:
    """Load tensors and plain values, never code.

    Raises:
        UserError: the file is missing, broken, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise UserError(f"'{path}' does not exist: train first, or give the path of a checkpoint.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its pickle reader meets
        raise UserError(
            f"'{path}' is no checkpoint that can be trusted and read: it is truncated, not written by PyTorch, or "
            "holds more than tensors; give another file."
        ) from error


def _save(state: Mapping[str, Any], path: Path) -> None:
    partial = path.with_name(path.name + ".part")
    try:
        torch.save(state, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as a RuntimeError of its zip writer
        partial.unlink(missing_ok=True)
        raise UserError(
            f"Cannot write '{path}' ({str(error).splitlines()[0][:120]}): free space or give another folder; training "
            "can be resumed from the last whole checkpoint."
        ) from error
