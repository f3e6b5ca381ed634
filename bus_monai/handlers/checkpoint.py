"""Save the latest state and the best weights of a training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from ignite import distributed as idist
from ignite.engine import Engine, Events
from torch import nn

from bus_monai.bundle.registry import CHECKPOINT_FILE, TRAINED_FILE
from bus_monai.errors import UserError
from bus_monai.io.atomic import check_writable
from bus_monai.networks.weights import read_weights, save_weights
from bus_monai.trainers.base import ResumableTrainer

PRETRAINED_FILE = "best_of_pretraining.pt"
"""Beside ``model.pt``, until a state of the epochs after pre-training is saved."""
LOWEST_KEY = "lowest"
"""Of the state that resuming restores: the lowest value of the metric that decides."""
BEST_KEY = "best"
"""Of the state that resuming restores: epoch and score of the weights in ``model.pt``."""
HISTORY_KEY = "history"
"""Of the state that resuming restores: the rows of ``history.csv``."""


class Best(NamedTuple):
    """Of the weights that are kept: the epoch, and its validation score, which need not be the highest of all epochs.

    The epoch is below 1 where none is kept yet.
    """

    epoch: int
    score: float


class TrainingCheckpoint:
    """Write ``model.pt`` (the best validation so far) and ``checkpoint.pt`` (all that resuming needs).

    ``model.pt`` is the plain state dict of the segmenter, which MONAI's export commands take; ``checkpoint.pt`` is
    written last at the end of an epoch, after validation and logging, so a run that is killed goes on from a moment at
    which all of them agree. Both are written beside their place and renamed: at any moment the file is whole.

    A trainer that pre-trains its generator goes on from the best of these epochs, not from the last. It has a file of
    its own, ``best_of_pretraining.pt``: ``model.pt`` may be of a later epoch, which a run that was killed repeats.
    Of a trainer with ``kept_after`` the first epoch that is validated after those is the best so far, whatever it is.

    Args:
        folder: where the files go; made when missing.
        evaluator: validates the network; its key metric decides on ``model.pt``.
        network: the segmenter.
        lowest: name of the evaluator's metric whose lowest value decides in place of it, such as a loss.
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
        lowest: str | None = None,
        interval: int = 1,
        resume: bool = False,
        enabled: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self.evaluator = evaluator
        self.network = network
        self.lowest = lowest
        self.interval = interval
        self.resume = resume
        self.enabled = enabled
        self.extra: dict[str, Any] = {}
        """State of other handlers that resuming restores; plain values only."""
        self._pretrain_epochs = 0
        if enabled:
            check_writable(self.folder)

    @property
    def best(self) -> Best:
        """Which epoch ``model.pt`` is of, on the process that writes it."""
        state = self.evaluator.state
        # what an earlier version kept was of the highest score
        kept = self.extra.get(BEST_KEY) or {"epoch": state.best_metric_epoch, "score": state.best_metric}
        return Best(int(kept["epoch"]), float(kept["score"]))

    def attach(self, engine: ResumableTrainer) -> None:
        """Attach to the trainer; load the latest state at once when resuming."""
        self._pretrain_epochs = engine.pretrain_epochs
        if self.resume:
            self._load(engine)
        engine.add_event_handler(Events.EPOCH_STARTED, self._take_best_of_pretraining)
        engine.add_event_handler(Events.EPOCH_STARTED, self._choose_anew)
        if self.enabled:
            self.evaluator.add_event_handler(Events.COMPLETED, self._save_best)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._save_latest)

    def _take_best_of_pretraining(self, engine: ResumableTrainer) -> None:
        is_first_after = 0 < engine.pretrain_epochs == engine.state.epoch - 1
        if is_first_after and self.evaluator.state.best_metric_epoch > 0:
            # the first process may still be writing
            idist.barrier()
            path = self.folder / PRETRAINED_FILE
            # a run that an earlier version began has none
            engine.start_from(read_weights(path if path.is_file() else self.folder / TRAINED_FILE))

    def _choose_anew(self, engine: ResumableTrainer) -> None:
        if 0 < engine.kept_after == engine.state.epoch - 1:
            # true until a later epoch is validated, which is the best whatever it is
            self.extra[BEST_KEY] = self.best._asdict()
            self.extra.pop(LOWEST_KEY, None)
            self.evaluator.state.best_metric, self.evaluator.state.best_metric_epoch = -1.0, -1

    def _save_best(self, evaluator: Engine) -> None:
        if self._is_best(evaluator):
            save_weights(self.network.state_dict(), self.folder / TRAINED_FILE)
            score = float(evaluator.state.metrics[evaluator.state.key_metric_name])
            self.extra[BEST_KEY] = {"epoch": int(evaluator.state.epoch), "score": score}
            if evaluator.state.epoch <= self._pretrain_epochs:
                save_weights(self.network.state_dict(), self.folder / PRETRAINED_FILE)

    def _is_best(self, evaluator: Engine) -> bool:
        if self.lowest is None:
            return bool(evaluator.state.best_metric_epoch == evaluator.state.epoch)
        value = float(evaluator.state.metrics[self.lowest])
        # the first decides whatever it is, and NaN is no better than any
        if LOWEST_KEY in self.extra and not value < self.extra[LOWEST_KEY]:
            return False
        self.extra[LOWEST_KEY] = math.inf if math.isnan(value) else value
        return True

    def _save_latest(self, engine: ResumableTrainer) -> None:
        if not engine.is_due(self.interval):
            return
        state = {
            "trainer": engine.state_dict(),
            "best_metric": float(self.evaluator.state.best_metric),
            "best_metric_epoch": int(self.evaluator.state.best_metric_epoch),
            "extra": self.extra,
        }
        save_weights(state, self.folder / CHECKPOINT_FILE)
        if engine.state.epoch > self._pretrain_epochs:
            (self.folder / PRETRAINED_FILE).unlink(missing_ok=True)

    def _load(self, engine: ResumableTrainer) -> None:
        path = self.folder / CHECKPOINT_FILE
        if not path.is_file():
            raise UserError(f"There is nothing to resume: '{path}' does not exist; train without resume first.")
        state = read_weights(path)
        engine.load_state_dict(state["trainer"])
        self.evaluator.state.best_metric = state["best_metric"]
        self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        self.extra = state["extra"]
        if self.lowest is not None and BEST_KEY not in self.extra:
            self._find_best()

    def _find_best(self) -> None:
        """Look for the epoch that ``model.pt`` is of in the history of a run that an earlier version began."""
        value, score = f"val_{self.lowest}", f"val_{self.evaluator.state.key_metric_name}"
        for row in self.extra.get(HISTORY_KEY, ()):
            if value in row and row[value] == self.extra.get(LOWEST_KEY):
                self.extra[BEST_KEY] = {"epoch": int(row["epoch"]), "score": row[score]}
                return
