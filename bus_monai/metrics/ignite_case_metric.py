"""The per-case table as a metric of an Ignite engine."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.utils.enums import CommonKeys as Keys

from bus_monai.errors import UserError
from bus_monai.metrics.aggregate import LOWER_IS_BETTER, get_rule, means
from bus_monai.metrics.case_scores import score_case
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.gather_rows import gather_rows


class CaseMetric(Metric):
    """Score each case of an evaluation, and publish the means.

    It attaches to a MONAI evaluator that decollates (the default) and whose postprocessing turns logits into
    probabilities: ``engine.state.output`` is a list of items with :attr:`CommonKeys.PRED` (1, H, W) in [0, 1] and
    :attr:`CommonKeys.LABEL` (1, H, W) of 0 and 1, and ``engine.state.batch`` one of items with ``id``, ``group``,
    ``diagnosis`` and the image with its metadata. Without a group a case is its own group.

    Under the name it is attached by it publishes the mean of ``metric``, and beside it, each under its own name, the
    other metrics of the rule, ``missed_lesions`` (lesions of which no pixel was found), and, where the set has normal
    cases, ``false_positive_rate`` and ``false_area_px``. Where no case falls under the rule the value is the worst
    there is, 0 (infinity for a metric that is better when lower), and a warning says so.

    Millimetres refer to the grid that is scored: where the transforms resize the label, its affine tells by how much.

    Args:
        metric: one of the rule's metrics.
        rule: key of :data:`~bus_monai.metrics.aggregate.RULES`.
        threshold: a pixel is lesion from this probability on.
        name: prefix of what is published beside the metric, for a second ``CaseMetric`` on the same engine.

    Raises:
        UserError: there is no such rule, or it has no such metric.

    Example:
        >>> SupervisedEvaluator(..., key_val_metric={"dice": CaseMetric()})  # doctest: +SKIP
    """

    def __init__(
        self, *, metric: str = "dice", rule: str = "lesion", threshold: float = 0.5, name: str | None = None
    ) -> None:
        if metric not in (known := get_rule(rule).fractions):
            raise UserError(f"The rule {rule!r} has no metric {metric!r}: choose one of {', '.join(known)}.")
        self.metric = metric
        self.rule = rule
        self.threshold = threshold
        self.prefix = f"{name}_" if name else ""
        self.rows: list[CaseRow] = []
        """The rows of all processes, sorted by id; empty until :meth:`compute`."""
        self._collected: dict[str, CaseRow] = {}
        self._published: set[str] = set()
        super().__init__()

    def reset(self) -> None:
        """Forget all cases."""
        self._collected = {}
        self.rows = []

    def iteration_completed(self, engine: Engine) -> None:
        """Score the cases of an iteration."""
        self.update((engine.state.batch, engine.state.output))

    def update(self, output: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]) -> None:
        """Score the cases of a batch.

        Args:
            output: decollated batch and output of the engine.

        Raises:
            UserError: the batch is not decollated, an id is missing or comes twice, or a case cannot be scored.
        """
        batch, outputs = output
        if not isinstance(batch, list) or not isinstance(outputs, list):
            raise UserError("CaseMetric needs single items: leave the evaluator's decollate=True.")
        for item, scored in zip(batch, outputs, strict=True):
            row = self._score(item, scored)
            if row.id in self._collected:
                raise UserError(f"Two cases have the id {row.id!r}: give each case of the datalist an id of its own.")
            self._collected[row.id] = row

    def compute(self) -> float:
        """Gather the rows of all processes and return the mean of the metric."""
        self.rows = gather_rows(self._collected)
        values = means(self.rows, self.rule)
        if self.metric in values:
            return values[self.metric]
        worst = math.inf if self.metric in LOWER_IS_BETTER else 0.0
        warnings.warn(
            f"None of the {len(self.rows)} cases falls under the rule {self.rule!r}: {self.metric} counts as {worst}.",
            stacklevel=2,
        )
        return worst

    def completed(self, engine: Engine, name: str) -> None:
        """Put the mean under ``name``, and what goes beside it, into ``engine.state.metrics``."""
        metrics = engine.state.metrics
        for key in self._published:
            metrics.pop(key, None)
        super().completed(engine, name)
        beside = {f"{self.prefix}{key}": value for key, value in self._beside().items()}
        beside.pop(name, None)
        metrics.update(beside)
        self._published = set(beside)

    def _beside(self) -> dict[str, float]:
        values = means(self.rows, self.rule)
        normal = means(self.rows, "normal")
        values |= {key: normal[key] for key in ("false_positive_rate", "false_area_px") if key in normal}
        if any(row.has_lesion for row in self.rows):
            values["missed_lesions"] = float(sum(row.missed for row in self.rows))
        return values

    def _score(self, item: Mapping[str, Any], scored: Mapping[str, Any]) -> CaseRow:
        if "id" not in item:
            raise UserError("An item of the datalist has no id: give each case an id of its own.")
        id = str(item["id"])
        probability, truth = (scored[key].detach().float().cpu().numpy() for key in (Keys.PRED, Keys.LABEL))
        if probability.ndim != 3 or len(probability) != 1 or truth.shape != probability.shape:
            raise UserError(
                f"Case {id!r} has a prediction of shape {probability.shape} and a label of {truth.shape}: both must be "
                "(1, H, W)."
            )
        try:
            scores = score_case(probability[0], truth[0], threshold=self.threshold, spacing_mm=scored_spacing(item))
        except ValueError as error:
            raise UserError(f"Case {id!r} cannot be scored: {error}") from error
        return CaseRow.of(scores, id=id, group=str(item.get("group", id)), diagnosis=item.get("diagnosis", "unknown"))


def scored_spacing(item: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the spacing in mm of rows and columns of an item's label, ``None`` where unknown.

    The image's metadata have the spacing of the file, and the label's affine, which each MONAI transform keeps up, the
    size of its pixels in pixels of the file.
    """
    stored = getattr(item.get(Keys.IMAGE), "meta", {}).get("spacing_mm")
    label = item[Keys.LABEL]
    if stored is None or not isinstance(label, MetaTensor):
        return None
    rows, columns = np.asarray(stored, dtype=np.float64) * affine_to_spacing(np.asarray(label.affine), r=2)
    return (float(rows), float(columns)) if rows > 0 and columns > 0 else None
