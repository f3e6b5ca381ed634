"""Stopping when validation no longer improves, also across a resumed run."""

from __future__ import annotations

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping

from bus_monai.engines.resumable_trainer import ResumableTrainer
from bus_monai.handlers.training_checkpoint import TrainingCheckpoint

STATE = "early_stopping"


class ResumableEarlyStopping:
    """Ignite's ``EarlyStopping`` on the key metric, whose count travels with the checkpoint.

    Args:
        evaluator: validates the network; its key metric is the better the higher.
        patience: validations without improvement after which training ends.
        checkpoint: keeps the count.
    """

    def __init__(self, *, evaluator: Engine, patience: int, checkpoint: TrainingCheckpoint) -> None:
        self.evaluator = evaluator
        self.patience = patience
        self.checkpoint = checkpoint

    def attach(self, engine: ResumableTrainer) -> None:
        """Attach to the trainer."""
        self.stopper = EarlyStopping(self.patience, _score, engine)
        engine.add_event_handler(Events.STARTED, self._take_up)
        self.evaluator.add_event_handler(Events.COMPLETED, self._count)

    def _take_up(self, engine: ResumableTrainer) -> None:
        if STATE in self.checkpoint.extra:
            self.stopper.load_state_dict(self.checkpoint.extra[STATE])
            if self.stopper.counter >= self.patience:
                engine.terminate()

    def _count(self, evaluator: Engine) -> None:
        self.stopper(evaluator)
        self.checkpoint.extra[STATE] = dict(self.stopper.state_dict())


def _score(evaluator: Engine) -> float:
    return float(evaluator.state.metrics[evaluator.state.key_metric_name])
