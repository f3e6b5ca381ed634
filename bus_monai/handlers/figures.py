"""Handlers that write figures of a training or an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys as Keys
from numpy.typing import NDArray
from torch import Tensor

from bus_monai.handlers.mlflow import MLflowTracker
from bus_monai.io.atomic import write_table
from bus_monai.io.ours import check_run_files
from bus_monai.losses.mutual_supervision import GAMMAS
from bus_monai.metrics.ignite import CaseMetric, DetectionMetric
from bus_monai.report.image_figures import contour_figure, detection_figure, overlay_figure
from bus_monai.report.page import EXAMPLES_FILE, OVERLAYS_FILE, TRUSTED_FILE, TRUSTED_PICTURE, remove_examples
from bus_monai.report.paper import save_figure
from bus_monai.report.score_figures import trusted_figure
from bus_monai.trainers.base import ResumableTrainer
from bus_monai.trainers.mutual_supervision import MutualSupervisionTrainer

EXAMPLE_COUNT = 6
"""Images of a figure."""
TRUSTED_COLUMNS = ("gamma", "trusted_images", "share")
FIGURE_INTERVAL = 5
"""Epochs between two figures of what is trusted."""
EXAMPLE_RANKS = ("best", "best but one", "median", "lower quartile", "worst but one", "worst")


class KeptImages(dict[str, NDArray[np.float32]]):
    """Images (H, W) of the current pass by the ids of their cases, as the network saw them.

    Args:
        count: images to keep; ``None`` keeps all.
    """

    def __init__(self, count: int | None = None) -> None:
        super().__init__()
        self.count = count

    def attach(self, evaluator: Engine) -> None:
        """Attach to an evaluator whose batches are lists of items."""
        evaluator.add_event_handler(Events.STARTED, self._reset)
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._collect)

    def _reset(self) -> None:
        self.clear()

    def _collect(self, evaluator: Engine) -> None:
        images = evaluator.state.output[Keys.IMAGE].float().cpu().numpy()
        for item, image in zip(evaluator.state.batch, images, strict=True):
            if self.count is None or len(self) < self.count:
                self[str(item["id"])] = image[0]


class DetectionExamples:
    """Write ``examples.png``: images from those with the fewest misses and false positives to those with the most.

    Args:
        metric: holds what was found.
        folder: where the file goes.

    Raises:
        UserError: a file is there that this package did not write.
    """

    def __init__(self, *, metric: DetectionMetric, folder: str | Path) -> None:
        self.metric = metric
        self.folder = Path(folder)
        check_run_files(self.folder, marked=[EXAMPLES_FILE])
        self._images = KeptImages()

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        self._images.attach(engine)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _write(self) -> None:
        errors = {image.id: len(image.truths) for image in self.metric.rows}
        for box, truth in self.metric.matched:
            if box.score >= self.metric.threshold:
                errors[box.image] += 1 if truth is None else -1
        ranked = sorted(self.metric.rows, key=lambda image: errors[image.id])
        last = len(ranked) - 1
        picks = sorted({round(last * i / (EXAMPLE_COUNT - 1)) for i in range(EXAMPLE_COUNT)})
        shown = [ranked[i] for i in picks]
        pixels = [self._images[image.id] for image in shown]
        figure = detection_figure(pixels, shown, threshold=self.metric.threshold)
        save_figure(figure, self.folder / EXAMPLES_FILE)


class ExampleFigure:
    """Write cases with a lesion from the best to the worst Dice: ``examples.png`` with contours, ``overlays.png`` with
    right and wrong pixels colored.

    Args:
        metric: holds the scores.
        folder: where the files go.
        threshold: from which on a pixel is lesion.

    Raises:
        UserError: a file is there that this package did not write.
    """

    def __init__(self, *, metric: CaseMetric, folder: str | Path, threshold: float = 0.5) -> None:
        self.metric = metric
        self.folder = Path(folder)
        check_run_files(self.folder, marked=[EXAMPLES_FILE, OVERLAYS_FILE])
        self.threshold = threshold
        self._maps: dict[str, tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float16]]] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator whose output holds probabilities of the label's size."""
        engine.add_event_handler(Events.STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _reset(self) -> None:
        self._maps.clear()

    def _collect(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            label, probability = (np.asarray(output[key][0].cpu(), dtype=np.float16) for key in (Keys.LABEL, Keys.PRED))
            self._maps[item["id"]] = (np.asarray(item["image_native"][0], dtype=np.float16), label, probability)

    def _write(self) -> None:
        rows = sorted((row for row in self.metric.rows if row.has_lesion), key=lambda row: -(row.dice or 0))
        if not rows:
            # those of an earlier evaluation
            remove_examples(self.folder)
            return
        last = len(rows) - 1
        picks = [0, 1, last // 2, 3 * last // 4, last - 1, last]
        chosen = {min(max(pick, 0), last): name for pick, name in zip(picks, EXAMPLE_RANKS, strict=True)}
        maps = [[m.astype(np.float32) for m in self._maps[rows[i].id]] for i in chosen]
        titles = [f"{name}: {rows[i].id}, Dice {rows[i].dice:.2f}" for i, name in chosen.items()]
        images, truths, probabilities = zip(*maps, strict=True)
        for draw, file in ((contour_figure, EXAMPLES_FILE), (overlay_figure, OVERLAYS_FILE)):
            figure = draw(images, truths, probabilities, titles, threshold=self.threshold)
            save_figure(figure, self.folder / file)


class ValidationDetections:
    """Log a figure of the first validation images with true and found boxes.

    Args:
        evaluator: validates the detector.
        metric: of the evaluator.
        tracker: takes the figure.
        interval: epochs between two figures; the last epoch always has one.
    """

    def __init__(
        self, *, evaluator: Engine, metric: DetectionMetric, tracker: MLflowTracker, interval: int = 5
    ) -> None:
        self.evaluator = evaluator
        self.metric = metric
        self.tracker = tracker
        self.interval = interval
        self._images = KeptImages(EXAMPLE_COUNT)

    def attach(self, engine: ResumableTrainer) -> None:
        """Attach to the trainer, after validation."""
        if self.tracker.enabled:
            self._images.attach(self.evaluator)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _log(self, engine: ResumableTrainer) -> None:
        if self._images and engine.is_due(self.interval):
            shown = [image for image in self.metric.rows if image.id in self._images]
            pixels = [self._images[image.id] for image in shown]
            figure = detection_figure(pixels, shown, threshold=self.metric.threshold)
            self.tracker.log_validation(figure, engine.state.epoch)


class TrustedFigure:
    """Write ``trusted.csv`` and ``trusted.png``: the share of an epoch's unlabeled images that is trusted over gamma.

    As in ASSGAN's study of gamma (Zhai et al., Neurocomputing 493, 2022, doi 10.1016/j.neucom.2022.04.021), but for one
    discriminator, which was trained with the gamma that is marked: a filter that filters trusts fewer with each step.

    Args:
        folder: where the files go.
        enabled: ``False`` on all processes but the first, which counts for all.
    """

    def __init__(self, *, folder: str | Path, enabled: bool = True) -> None:
        self.folder = Path(folder)
        self.enabled = enabled
        if enabled:
            check_run_files(folder, tables={TRUSTED_FILE: TRUSTED_COLUMNS}, marked=[TRUSTED_PICTURE])

    def attach(self, engine: MutualSupervisionTrainer) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _write(self, engine: MutualSupervisionTrainer) -> None:
        if not engine.uses_unlabeled:
            return
        counts: Tensor = idist.all_reduce(engine.state.trusted_over_gamma.clone())
        judged = idist.all_reduce(engine.state.judged_images)
        if self.enabled:
            # a generator alone has no pupil, and nobody judges its masks
            shares = (counts / max(judged, 1)).tolist()
            write_table(self.folder / TRUSTED_FILE, TRUSTED_COLUMNS, zip(GAMMAS, counts.tolist(), shares, strict=True))
            if engine.is_due(FIGURE_INTERVAL):
                figure = trusted_figure(list(zip(GAMMAS, shares, strict=True)), engine.state.gamma)
                save_figure(figure, self.folder / TRUSTED_PICTURE)


class ValidationFigure:
    """Log a figure of the first validation images with true and predicted contours.

    Args:
        evaluator: validates the network; its output holds probabilities (1, H, W).
        tracker: takes the figure.
        interval: epochs between two figures; the last epoch always has one.
    """

    def __init__(self, *, evaluator: Engine, tracker: MLflowTracker, interval: int = 5) -> None:
        self.evaluator = evaluator
        self.tracker = tracker
        self.interval = interval
        self._shown: list[tuple[Any, ...]] = []

    def attach(self, engine: ResumableTrainer) -> None:
        """Attach to the trainer, after validation."""
        if self.tracker.enabled:
            self.evaluator.add_event_handler(Events.STARTED, self._shown.clear)
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _collect(self, evaluator: Engine) -> None:
        for item, output in zip(evaluator.state.batch, evaluator.state.output, strict=True):
            if len(self._shown) == EXAMPLE_COUNT:
                return
            maps = (output[key][0].float().cpu().numpy() for key in (Keys.IMAGE, Keys.LABEL, Keys.PRED))
            self._shown.append((*maps, item["id"]))

    def _log(self, engine: ResumableTrainer) -> None:
        if self._shown and engine.is_due(self.interval):
            self.tracker.log_validation(contour_figure(*zip(*self._shown, strict=True)), engine.state.epoch)
