"""The table of classified masses as a metric of an Ignite engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine
from ignite.metrics import Metric

from bus_monai.metrics.classification import class_figures, macro_auc, macro_f1
from bus_monai.metrics.gather_rows import gather_rows
from bus_monai.metrics.shape_rows import ShapeRow
from bus_monai.metrics.shape_summary import found_scores
from bus_monai.networks.shape_cnn import SHAPE_CLASSES


class ShapeMetric(Metric):
    """Collect the shape of each mass of an evaluation, and publish the macro F1.

    It attaches to a MONAI evaluator that decollates (the default) and whose postprocessing turns logits (4,) into
    probabilities; items have ``id``, ``group`` and ``label``, the number of the class. Beside the macro F1 it publishes
    ``accuracy``, ``macro_auc`` where it exists, and the recall of each class, such as ``recall_oval``.

    Example:
        >>> SupervisedEvaluator(..., key_val_metric={"macro_f1": ShapeMetric()})  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self.rows: list[ShapeRow] = []
        """The rows of all processes, sorted by id; empty until :meth:`compute`."""
        self._collected: dict[str, ShapeRow] = {}
        super().__init__()

    def reset(self) -> None:
        """Forget all masses."""
        self._collected = {}
        self.rows = []

    def iteration_completed(self, engine: Engine) -> None:
        """Collect the masses of an iteration."""
        self.update((engine.state.batch, engine.state.output))

    def update(self, output: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]) -> None:
        """Collect the masses of a decollated batch and its output."""
        for item, scored in zip(*output, strict=True):
            row = ShapeRow.of(item, scored)
            self._collected[row.id] = row

    def compute(self) -> float:
        """Gather the rows of all processes and return the macro F1; 0 where no mass was found."""
        self.rows = gather_rows(self._collected)
        scores, true = found_scores(self.rows)
        return macro_f1(scores, true) if len(true) else 0.0

    def completed(self, engine: Engine, name: str) -> None:
        """Put the macro F1 under ``name``, and what goes beside it, into ``engine.state.metrics``."""
        super().completed(engine, name)
        scores, true = found_scores(self.rows)
        if not len(true):
            return
        metrics = engine.state.metrics
        metrics["accuracy"] = float((scores.argmax(axis=1) == true).mean())
        if not math.isnan(area := macro_auc(scores, true)):
            metrics["macro_auc"] = area
        for shape, one in zip(SHAPE_CLASSES, class_figures(scores, true), strict=True):
            if one.recall is not None:
                metrics[f"recall_{shape}"] = one.recall
