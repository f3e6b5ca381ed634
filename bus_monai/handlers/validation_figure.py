"""Validation images with contours, every few epochs."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys as Keys

from bus_monai.engines.resumable_trainer import ResumableTrainer
from bus_monai.handlers.mlflow_tracker import MLflowTracker
from bus_monai.report.contour_figure import contour_figure


class ValidationFigure:
    """Log a figure of the first validation images with true and predicted contours.

    Args:
        evaluator: validates the network; its output holds probabilities (1, H, W).
        tracker: takes the figure.
        interval: epochs between two figures; the last epoch always has one.
        count: images a figure.
    """

    def __init__(self, *, evaluator: Engine, tracker: MLflowTracker, interval: int = 5, count: int = 6) -> None:
        self.evaluator = evaluator
        self.tracker = tracker
        self.interval = interval
        self.count = count
        self._shown: list[tuple[Any, ...]] = []

    def attach(self, engine: ResumableTrainer) -> None:
        """Attach to the trainer, after validation."""
        if self.tracker.enabled:
            self.evaluator.add_event_handler(Events.STARTED, self._reset)
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _reset(self) -> None:
        self._shown.clear()

    def _collect(self, evaluator: Engine) -> None:
        for item, output in zip(evaluator.state.batch, evaluator.state.output, strict=True):
            if len(self._shown) == self.count:
                return
            maps = (output[key][0].float().cpu().numpy() for key in (Keys.IMAGE, Keys.LABEL, Keys.PRED))
            self._shown.append((*maps, item["id"]))

    def _log(self, engine: ResumableTrainer) -> None:
        if self._shown and engine.is_due(self.interval):
            self.tracker.log_validation(contour_figure(*zip(*self._shown, strict=True)), engine.state.epoch)
