"""Validation images with boxes, every few epochs."""

from __future__ import annotations

from ignite.engine import Engine, Events

from bus_monai.engines.resumable_trainer import ResumableTrainer
from bus_monai.handlers.kept_images import KeptImages
from bus_monai.handlers.mlflow_tracker import MLflowTracker
from bus_monai.metrics.ignite_detection_metric import DetectionMetric
from bus_monai.report.detection_figure import detection_figure


class ValidationDetections:
    """Log a figure of the first validation images with true and found boxes.

    Args:
        evaluator: validates the detector.
        metric: of the evaluator.
        tracker: takes the figure.
        interval: epochs between two figures; the last epoch always has one.
        count: images a figure.
    """

    def __init__(
        self,
        *,
        evaluator: Engine,
        metric: DetectionMetric,
        tracker: MLflowTracker,
        interval: int = 5,
        count: int = 6,
    ) -> None:
        self.evaluator = evaluator
        self.metric = metric
        self.tracker = tracker
        self.interval = interval
        self._images = KeptImages(count)

    def attach(self, engine: ResumableTrainer) -> None:
        """Attach to the trainer, after validation."""
        if self.tracker.enabled:
            self._images.attach(self.evaluator)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _log(self, engine: ResumableTrainer) -> None:
        if self._images and engine.is_due(self.interval):
            shown = [image for image in self.metric.images if image.id in self._images]
            pixels = [self._images[image.id] for image in shown]
            figure = detection_figure(pixels, shown, threshold=self.metric.threshold)
            self.tracker.log_validation(figure, engine.state.epoch)
