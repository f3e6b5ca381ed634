"""End a training when validation gets no better, by its metric or its loss."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Literal

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from ignite.metrics import Loss, MetricUsage
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

from bus_monai.errors import check_number
from bus_monai.handlers.checkpoint import TrainingCheckpoint
from bus_monai.trainers.base import ResumableTrainer

logger = logging.getLogger("bus_monai")
VALIDATION_LOSS = "loss"
STATE_KEY = "early_stopping"


class ValidationLoss:
    """Put the mean over the validation images of a loss of the logits into ``state.metrics["loss"]``.

    It reads the batch between the network and MONAI's postprocessing: what a sigmoid has brought to 0 or 1 has lost
    its logit. A loss that is a mean over a batch counts as often as the batch has images, in all processes.

    Args:
        loss: of logits (B, 1, H, W) and masks (B, 1, H, W), a scalar.
        device: where sums over processes are taken.
    """

    def __init__(self, *, loss: Callable[[Tensor, Tensor], Tensor], device: str | torch.device = "cpu") -> None:
        self._metric = Loss(loss, lambda output: (output[Keys.PRED], output[Keys.LABEL]), device=device)

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI evaluator."""
        usage = MetricUsage(Events.EPOCH_STARTED, Events.EPOCH_COMPLETED, IterationEvents.FORWARD_COMPLETED)
        self._metric.attach(engine, VALIDATION_LOSS, usage)


class EarlyStop:
    """Stop the trainer when a metric of the validation has not got better for ``patience`` validations on end.

    Ignite's ``EarlyStopping``, whose count travels with the checkpoint: a run that was killed and resumed stops in the
    same epoch, and one that has stopped stays so until it gets more patience.

    Args:
        patience: validations without a better value; ``None`` trains to the last epoch.
        evaluator: validates the network and measures the metric.
        checkpoint: keeps the count.
        metric: its name; by default that of :class:`~bus_monai.handlers.early_stopping.ValidationLoss`.
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
        metric: str = VALIDATION_LOSS,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        if patience is not None:
            check_number("patience", patience, at_least=1, whole=True, hint="or null for no early stopping")
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
        if STATE_KEY not in self.checkpoint.extra:
            return
        stopping.load_state_dict(self.checkpoint.extra[STATE_KEY])
        if stopping.counter >= stopping.patience:
            logger.warning("Nothing is left to train: stopped early after epoch %d.", engine.state.epoch)
            engine.terminate()

    def _judge(self, evaluator: Engine, stopping: EarlyStopping) -> None:
        stopping(evaluator)
        self.checkpoint.extra[STATE_KEY] = dict(stopping.state_dict())
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
