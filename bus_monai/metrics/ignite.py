"""Ignite metrics of segmentation, detection and shape."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from ignite import distributed as idist
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

from bus_monai.detection.boxes import MAX_OVERLAP, MIN_SCORE, default_boxes, find_boxes
from bus_monai.detection.ssd import split_output
from bus_monai.errors import UserError, check_choice
from bus_monai.geometry.box import Box
from bus_monai.metrics.aggregate import LOWER_IS_BETTER, get_rule, means
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.classification import class_figures, macro_auc, macro_f1
from bus_monai.metrics.detection import Detection, DetectionCurve, detection_curve, match_detections
from bus_monai.metrics.findings import Calibration
from bus_monai.metrics.segmentation import score_case
from bus_monai.metrics.shapes import ShapeRow, found_scores
from bus_monai.networks.shape_cnn import SHAPE_CLASSES

Row = TypeVar("Row")
CURVE_SCORE = 0.01
"""Score from which on a box counts in curves; what is below would only lengthen their tails."""


def gather_rows(collected: Mapping[str, Row]) -> list[Row]:
    """Return the rows of all processes, sorted by id.

    Each counts once: a sampler pads its last round with items that another process has, too.

    Args:
        collected: rows of this process by id.
    """
    parts = [collected]
    if idist.get_world_size() > 1:
        parts = [{} for _ in range(idist.get_world_size())]
        torch.distributed.all_gather_object(parts, collected)
    rows = {id: row for part in parts for id, row in part.items()}
    return [rows[id] for id in sorted(rows)]


class _RowMetric(Metric, Generic[Row]):
    """Keep a row for each item of an evaluation, by its id."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        """The rows of all processes, sorted by id; empty until :meth:`compute`."""
        self._collected: dict[str, Row] = {}
        super().__init__()

    def reset(self) -> None:
        """Forget all rows."""
        self._collected = {}
        self.rows = []

    def iteration_completed(self, engine: Engine) -> None:
        """Take the items of an iteration."""
        self.update((engine.state.batch, engine.state.output))

    def _keep(self, id: str, row: Row) -> None:
        if id in self._collected:
            raise UserError(f"Two cases have the id {id!r}: give each case of the datalist an id of its own.")
        self._collected[id] = row


class CaseMetric(_RowMetric[CaseRow]):
    """Score each case of an evaluation, and publish the means.

    It attaches to a MONAI evaluator that decollates (the default) and whose postprocessing turns logits into
    probabilities: ``engine.state.output`` is a list of items with :attr:`CommonKeys.PRED` (1, H, W) in [0, 1] and
    :attr:`CommonKeys.LABEL` (1, H, W) of 0 and 1, and ``engine.state.batch`` one of items with ``id``, ``group``,
    ``diagnosis`` and the image with its metadata. Without a group a case is its own group.

    Under the name it is attached by it publishes the mean of ``metric``, and beside it, each under its own name, the
    other metrics of the rule, ``missed_lesions`` (lesions of which no pixel was found), and, where the set has normal
    cases, ``false_positive_rate`` and ``false_area_px``. Where no case falls under the rule the value is the worst
    there is, 0 (infinity for a metric that is better when lower), and a warning says so.

    Millimeters refer to the grid that is scored: where the transforms resize the label, its affine tells by how much.

    Args:
        metric: one of the rule's metrics.
        rule: key of :data:`~bus_monai.metrics.aggregate.RULES`.
        threshold: a pixel is lesion from this probability on.
        name: prefix of what is published beside the metric, for a second ``CaseMetric`` on the same engine.
        calibration: slope and intercept of the findings' :class:`~bus_monai.metrics.findings.Calibration`.

    Raises:
        UserError: there is no such rule, or it has no such metric.

    Example:
        >>> import torch
        >>> from bus_monai.metrics import CaseMetric
        >>> label = torch.zeros(1, 8, 8)
        >>> label[:, 2:6, 2:6] = 1
        >>> half = torch.zeros(1, 8, 8)
        >>> half[:, 2:6, 2:4] = 0.9
        >>> batch = [{"id": "case", "group": "patient", "diagnosis": "benign"} | {"image": label, "label": label}]
        >>> dice = CaseMetric()
        >>> dice.update((batch, [{"pred": half, "label": label}]))
        >>> round(dice.compute(), 3)
        0.667
    """

    def __init__(
        self,
        *,
        metric: str = "dice",
        rule: str = "lesion",
        threshold: float = 0.5,
        name: str | None = None,
        calibration: Sequence[float] | None = None,
    ) -> None:
        check_choice("metric", metric, get_rule(rule).fractions, where=f"the rule {rule!r}")
        self.metric = metric
        self.rule = rule
        self.threshold = threshold
        self.calibration = Calibration(*calibration) if calibration else None
        self.prefix = f"{name}_" if name else ""
        self._published: set[str] = set()
        super().__init__()

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
            self._keep(row.id, row)

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
            scores = score_case(
                probability[0],
                truth[0],
                threshold=self.threshold,
                spacing_mm=scored_spacing(item),
                calibration=self.calibration,
            )
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


@dataclass(frozen=True)
class ImageDetections:
    """Detected and true boxes of an image.

    Args:
        id: of the image.
        size: (height, width) in pixels of the source.
        found: boxes in pixels of the source, best first.
        scores: probabilities of the boxes.
        truths: true boxes.
    """

    id: str
    size: tuple[int, int]
    found: tuple[Box, ...]
    scores: tuple[float, ...]
    truths: tuple[Box, ...]


class DetectionMetric(_RowMetric[ImageDetections]):
    """Average precision at IoU 0.5, the mAP of a single class, and sensitivities of the FROC.

    It attaches to a MONAI evaluator with ``decollate=False`` whose batches are lists of items with ``id`` and an image
    that knows the size of its file, and whose output has :attr:`CommonKeys.PRED` (B, 6, 8732) and as
    :attr:`CommonKeys.LABEL` the true boxes of each image as shares. Boxes are compared in whole pixels of the source.

    Under the name it is attached by it publishes the average precision, and beside it ``froc_0.25``, ``froc_0.5``,
    ``froc_1`` and ``froc_2`` (sensitivity at so many false positives per image), and ``sensitivity`` and
    ``false_positives`` an image at ``threshold``. Without any true box the average precision counts as 0, and a
    warning says so.

    Args:
        threshold: score from which on a box counts as found.
        max_overlap: IoU above which the weaker of two boxes is dropped.
    """

    def __init__(self, *, threshold: float = MIN_SCORE, max_overlap: float = MAX_OVERLAP) -> None:
        self.threshold = threshold
        self.max_overlap = max_overlap
        self.matched: list[tuple[Detection, int | None]] = []
        """Every box with the number of its true one, from the highest score down; empty until :meth:`compute`."""
        self.curve: DetectionCurve | None = None
        super().__init__()

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self.matched, self.curve = [], None

    def update(self, output: tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Find the boxes of a batch.

        Args:
            output: batch and output of the engine.

        Raises:
            UserError: an id comes twice.
        """
        batch, scored = output
        offsets, logits = split_output(scored[Keys.PRED])
        boxes = find_boxes(
            offsets,
            logits,
            default_boxes().to(offsets.device),
            min_score=min(CURVE_SCORE, self.threshold),
            max_overlap=self.max_overlap,
        )
        for item, found, truths in zip(batch, boxes, scored[Keys.LABEL], strict=True):
            id, size = str(item["id"]), source_size(item)
            scores = tuple(found.scores.tolist())
            self._keep(id, ImageDetections(id, size, _boxes(found.boxes, size), scores, _boxes(truths, size)))

    def compute(self) -> float:
        """Gather the images of all processes and return the average precision."""
        self.rows = gather_rows(self._collected)
        truths = {image.id: list(image.truths) for image in self.rows}
        detections = [
            Detection(image.id, box, score)
            for image in self.rows
            for box, score in zip(image.found, image.scores, strict=True)
        ]
        self.curve = detection_curve(detections, truths)
        self.matched = match_detections(detections, truths)
        if self.curve.average_precision is None:
            warnings.warn(
                f"None of the {len(self.rows)} images has a mass: average precision counts as 0.", stacklevel=2
            )
        return self.curve.average_precision or 0.0

    def completed(self, engine: Engine, name: str) -> None:
        """Put the average precision under ``name``, and what goes beside it, into ``engine.state.metrics``."""
        super().completed(engine, name)
        engine.state.metrics.update(self.beside())

    def beside(self) -> dict[str, float]:
        """Return what is published beside the average precision, by name; sensitivities only where there are masses."""
        assert self.curve is not None
        counted = [truth for box, truth in self.matched if box.score >= self.threshold]
        values = {f"froc_{rate:g}": value for rate, value in (self.curve.froc() or {}).items()}
        if self.curve.truths:
            values["sensitivity"] = sum(truth is not None for truth in counted) / self.curve.truths
        values["false_positives"] = counted.count(None) / max(self.curve.images, 1)
        return values


def source_size(item: Mapping[str, Any]) -> tuple[int, int]:
    """Return (height, width) in pixels of the file that an item's image was loaded from."""
    height, width = (int(side) for side in item[Keys.IMAGE].meta["source_shape"])
    return height, width


def _boxes(shares: Tensor, size: tuple[int, int]) -> tuple[Box, ...]:
    return tuple(Box.from_shares(box, size) for box in shares.tolist())


class ShapeMetric(_RowMetric[ShapeRow]):
    """Collect the shape of each mass of an evaluation, and publish the macro F1.

    It attaches to a MONAI evaluator that decollates (the default) and whose postprocessing turns logits (4,) into
    probabilities; items have ``id``, ``group`` and ``label``, the number of the class. Beside the macro F1 it publishes
    ``accuracy``, ``macro_auc`` where it exists, and the recall of each class, such as ``recall_oval``.

    Example:
        >>> import torch
        >>> from bus_monai.metrics import ShapeMetric
        >>> batch = [{"id": "mass", "group": "patient", "image": torch.ones(1, 8, 8), "label": torch.tensor(1)}]
        >>> macro_f1 = ShapeMetric()
        >>> macro_f1.update((batch, [{"pred": torch.tensor([0.1, 0.7, 0.1, 0.1]), "label": torch.tensor(1)}]))
        >>> macro_f1.compute()
        1.0
    """

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
