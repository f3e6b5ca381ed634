"""The best, median and worst cases of an evaluation as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys as Keys
from numpy.typing import NDArray

from bus_monai.atomic_file import atomic_file
from bus_monai.metrics.ignite_case_metric import CaseMetric
from bus_monai.report.contour_figure import contour_figure
from bus_monai.report.files import EXAMPLES, OVERLAYS
from bus_monai.report.overlay_figure import overlay_figure

RANKS = ("best", "best but one", "median", "lower quartile", "worst but one", "worst")


class ExampleFigure:
    """Write cases with a lesion from the best to the worst Dice: ``examples.png`` with contours, ``overlays.png`` with
    right and wrong pixels coloured.

    Args:
        metric: holds the scores.
        folder: where the files go.
        threshold: from which on a pixel is lesion.
    """

    def __init__(self, *, metric: CaseMetric, folder: str | Path, threshold: float = 0.5) -> None:
        self.metric = metric
        self.folder = Path(folder)
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
            return
        last = len(rows) - 1
        picks = [0, 1, last // 2, 3 * last // 4, last - 1, last]
        chosen = {min(max(pick, 0), last): name for pick, name in zip(picks, RANKS, strict=True)}
        maps = [[m.astype(np.float32) for m in self._maps[rows[i].id]] for i in chosen]
        titles = [f"{name}: {rows[i].id}, Dice {rows[i].dice:.2f}" for i, name in chosen.items()]
        images, truths, probabilities = zip(*maps, strict=True)
        for draw, file in ((contour_figure, EXAMPLES), (overlay_figure, OVERLAYS)):
            figure = draw(images, truths, probabilities, titles, threshold=self.threshold)
            with atomic_file(self.folder / file) as partial:
                figure.savefig(partial, dpi=110)
