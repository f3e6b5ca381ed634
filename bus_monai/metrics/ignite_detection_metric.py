"""Average precision and FROC as a metric of an Ignite engine."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ignite.engine import Engine
from ignite.metrics import Metric
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

from bus_monai.detection.box_frame import box_frame
from bus_monai.detection.default_boxes import default_boxes
from bus_monai.detection.find_boxes import LEAST_SCORE, MOST_OVERLAP, find_boxes
from bus_monai.errors import UserError
from bus_monai.metrics.detection import Box, Detection, DetectionCurve, detection_curve, match_detections
from bus_monai.metrics.gather_rows import gather_rows
from bus_monai.networks.detectors import split_output
from bus_monai.transforms.frames import Frame

CURVE_SCORE = 0.01
"""Score from which on a box counts in curves; what is below would only lengthen their tails."""


@dataclass(frozen=True)
class ImageDetections:
    """What was found in an image, and what there is.

    Args:
        id: of the image.
        size: (height, width) in pixels of the source.
        found: frames in pixels of the source, best first.
        scores: probabilities of the frames.
        truths: true frames.
    """

    id: str
    size: tuple[int, int]
    found: tuple[Frame, ...]
    scores: tuple[float, ...]
    truths: tuple[Frame, ...]


@dataclass(frozen=True)
class MatchedFrame:
    """A found frame.

    Args:
        image: id of its image.
        frame: in pixels of the source.
        score: probability.
        truth: number of the true frame that it finds, ``None`` where it is false.
    """

    image: str
    frame: Frame
    score: float
    truth: int | None


class DetectionMetric(Metric):
    """Average precision at IoU 0.5, the mAP of a single class, and sensitivities of the FROC.

    It attaches to a MONAI evaluator with ``decollate=False`` whose batches are lists of items with ``id`` and an image
    that knows the size of its file, and whose output has :attr:`CommonKeys.PRED` (B, 6, 8732) and as
    :attr:`CommonKeys.LABEL` the true boxes of each image as shares. Frames are compared in whole pixels of the source.

    Under the name it is attached by it publishes the average precision, and beside it ``froc_0.25``, ``froc_0.5``,
    ``froc_1`` and ``froc_2`` (sensitivity at so many false positives an image), and ``sensitivity`` and
    ``false_positives`` an image at ``threshold``. Without any true box the average precision counts as 0, and a
    warning says so.

    Args:
        threshold: score from which on a frame counts as found.
        most_overlap: IoU above which the weaker of two boxes is dropped.
    """

    def __init__(self, *, threshold: float = LEAST_SCORE, most_overlap: float = MOST_OVERLAP) -> None:
        self.threshold = threshold
        self.most_overlap = most_overlap
        self.images: list[ImageDetections] = []
        """The images of all processes, sorted by id; empty until :meth:`compute`."""
        self.matched: list[MatchedFrame] = []
        """Every frame from the highest score down; empty until :meth:`compute`."""
        self.curve: DetectionCurve | None = None
        self._collected: dict[str, ImageDetections] = {}
        super().__init__()

    def reset(self) -> None:
        """Forget all images."""
        self._collected = {}
        self.images, self.matched, self.curve = [], [], None

    def iteration_completed(self, engine: Engine) -> None:
        """Take the images of an iteration."""
        self.update((engine.state.batch, engine.state.output))

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
            least_score=min(CURVE_SCORE, self.threshold),
            most_overlap=self.most_overlap,
        )
        for item, found, truths in zip(batch, boxes, scored[Keys.LABEL], strict=True):
            id = str(item["id"])
            if id in self._collected:
                raise UserError(f"Two cases have the id {id!r}: give each case of the datalist an id of its own.")
            size = source_size(item)
            scores = tuple(found.scores.tolist())
            self._collected[id] = ImageDetections(id, size, _frames(found.boxes, size), scores, _frames(truths, size))

    def compute(self) -> float:
        """Gather the images of all processes and return the average precision."""
        self.images = gather_rows(self._collected)
        truths = {image.id: [as_box(frame) for frame in image.truths] for image in self.images}
        detections = [
            Detection(image.id, as_box(frame), score)
            for image in self.images
            for frame, score in zip(image.found, image.scores, strict=True)
        ]
        self.curve = detection_curve(detections, truths)
        self.matched = [
            MatchedFrame(d.image, as_frame(d.box), d.score, truth) for d, truth in match_detections(detections, truths)
        ]
        if self.curve.average_precision is None:
            warnings.warn(
                f"None of the {len(self.images)} images has a mass: average precision counts as 0.", stacklevel=2
            )
        return self.curve.average_precision or 0.0

    def completed(self, engine: Engine, name: str) -> None:
        """Put the average precision under ``name``, and what goes beside it, into ``engine.state.metrics``."""
        super().completed(engine, name)
        engine.state.metrics.update(self.beside())

    def beside(self) -> dict[str, float]:
        """Return what is published beside the average precision, by name; sensitivities only where there are masses."""
        assert self.curve is not None
        counted = [frame for frame in self.matched if frame.score >= self.threshold]
        values = {f"froc_{rate:g}": value for rate, value in (self.curve.froc() or {}).items()}
        if self.curve.truths:
            values["sensitivity"] = sum(frame.truth is not None for frame in counted) / self.curve.truths
        values["false_positives"] = sum(frame.truth is None for frame in counted) / max(self.curve.images, 1)
        return values


def source_size(item: Mapping[str, Any]) -> tuple[int, int]:
    """Return (height, width) in pixels of the file that an item's image was loaded from."""
    height, width = (int(side) for side in item[Keys.IMAGE].meta["source_shape"])
    return height, width


def as_box(frame: Frame) -> Box:
    """Return left, top, right, bottom of a frame."""
    return frame.left, frame.top, frame.right, frame.bottom


def as_frame(box: Box) -> Frame:
    """Return the frame of left, top, right, bottom in whole pixels."""
    left, top, right, bottom = map(int, box)
    return Frame(top, left, bottom, right)


def _frames(boxes: Tensor, size: tuple[int, int]) -> tuple[Frame, ...]:
    return tuple(box_frame(box, size) for box in boxes)
