"""Training ends when validation gets no better."""

from __future__ import annotations

import logging
import math
from typing import Literal

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping

from bus_monai.engines.resumable_trainer import ResumableTrainer
from bus_monai.errors import UserError
from bus_monai.handlers.training_checkpoint import TrainingCheckpoint
from bus_monai.handlers.validation_loss import NAME

logger = logging.getLogger("bus_monai")
KEY = "early_stopping"


class EarlyStop:
    """Stop the trainer when a metric of the validation has not got better for ``patience`` validations on end.

    Ignite's ``EarlyStopping``, whose count travels with the checkpoint: a run that was killed and resumed stops in the
    same epoch, and one that has stopped stays so until it gets more patience.

    Args:
        patience: validations without a better value; ``None`` trains to the last epoch.
        evaluator: validates the network and measures the metric.
        checkpoint: keeps the count.
        metric: its name; by default that of :class:`~bus_monai.handlers.validation_loss.ValidationLoss`.
        mode: ``min`` where less is better, else ``max``.

    Raises:
        UserError: ``patience`` is no whole number from 1 on.
    """

    def __init__(
        self,
        *,
        patience: int | None,
        evaluator: Engine,
        checkpoint: TrainingCheckpoint,
        metric: str = NAME,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        if patience is not None and (type(patience) is not int or patience < 1):
            raise UserError(f"patience is {patience!r}: give 1 or more, or null for no early stopping.")
        self.patience = patience
        self.evaluator = evaluator
        self.checkpoint = checkpoint
        self.metric = metric
        self.mode = mode

    def attach(self, engine: ResumableTrainer) -> None:
        """Attach to the trainer."""
        if self.patience is None:
            return
        stopping = EarlyStopping(self.patience, self._value, engine, mode=self.mode)
        # ours says why
        stopping.logger.setLevel(logging.WARNING)
        engine.add_event_handler(Events.STARTED, self._resume, stopping)
        self.evaluator.add_event_handler(Events.COMPLETED, self._judge, stopping)

    def _resume(self, engine: ResumableTrainer, stopping: EarlyStopping) -> None:
        # only now has the checkpoint, which attaches last, read its file
        if KEY not in self.checkpoint.extra:
            return
        stopping.load_state_dict(self.checkpoint.extra[KEY])
        if stopping.counter >= stopping.patience:
            logger.warning("Nothing is left to train: stopped early after epoch %d.", engine.state.epoch)
            engine.terminate()

    def _judge(self, evaluator: Engine, stopping: EarlyStopping) -> None:
        stopping(evaluator)
        self.checkpoint.extra[KEY] = dict(stopping.state_dict())
        if stopping.counter >= stopping.patience:
            logger.warning(
                "Stopped early after epoch %d: for %d validations no %s has been better than %.4g.",
                stopping.trainer.state.epoch,
                stopping.counter,
                self.metric,
                stopping.best_score,
            )

    def _value(self, evaluator: Engine) -> float:
        value = float(evaluator.state.metrics[self.metric])
        # no number is better than NaN, nor worse, so Ignite would take it for a record
        worst = math.inf if self.mode == "min" else -math.inf
        return worst if math.isnan(value) else value
