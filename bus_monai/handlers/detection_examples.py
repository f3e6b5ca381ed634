"""The best, median and worst images of a detector's evaluation as a picture."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events

from bus_monai.handlers.kept_images import KeptImages
from bus_monai.metrics.ignite_detection_metric import DetectionMetric
from bus_monai.report.detection_figure import detection_figure
from bus_monai.report.files import EXAMPLES

COUNT = 6


class DetectionExamples:
    """Write ``examples.png``: images from those with the fewest misses and false positives to those with the most.

    Args:
        metric: holds what was found.
        folder: where the file goes.
    """

    def __init__(self, *, metric: DetectionMetric, folder: str | Path) -> None:
        self.metric = metric
        self.folder = Path(folder)
        self._images = KeptImages()

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        self._images.attach(engine)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _write(self) -> None:
        errors = {image.id: len(image.truths) for image in self.metric.images}
        for frame in self.metric.matched:
            if frame.score >= self.metric.threshold:
                errors[frame.image] += 1 if frame.truth is None else -1
        ranked = sorted(self.metric.images, key=lambda image: errors[image.id])
        last = len(ranked) - 1
        picks = sorted({round(last * i / (COUNT - 1)) for i in range(COUNT)})
        shown = [ranked[i] for i in picks]
        pixels = [self._images[image.id] for image in shown]
        figure = detection_figure(pixels, shown, threshold=self.metric.threshold)
        figure.savefig(self.folder / EXAMPLES, dpi=110)
