"""Average precision and FROC of detected boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bus_monai.geometry.box import Box

FROC_RATES = (0.25, 0.5, 1.0, 2.0)
"""False positives per image at which sensitivity is told."""


@dataclass(frozen=True)
class Detection:
    """A row of the table of detections.

    Args:
        image: id of the image.
        box: in pixels of the image.
        score: any number, higher for surer.
    """

    image: str
    box: Box
    score: float


@dataclass(frozen=True)
class DetectionCurve:
    """Counts as the threshold of the score falls; one point for each distinct score, none where nothing was detected.

    Args:
        true_positives: true boxes found, from low to high.
        false_positives: detections that find none, or one that a surer detection has found.
        truths: true boxes in all images.
        images: images, those without true boxes included.
    """

    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    truths: int
    images: int

    @classmethod
    def of_scores(cls, scored: Iterable[tuple[float, bool]], truths: int, images: int) -> DetectionCurve:
        """Make it of the score of each detection, and whether it is right."""
        true, false = defaultdict[float, int](int), defaultdict[float, int](int)
        for score, right in scored:
            (true if right else false)[score] += 1
        scores = sorted({*true, *false}, reverse=True)
        found, wrong = (np.cumsum([side[score] for score in scores], dtype=np.int64) for side in (true, false))
        return cls(found, wrong, truths, images)

    @property
    def average_precision(self) -> float | None:
        """Area under precision over sensitivity, in [0, 1]; ``None`` without true boxes.

        The precision at a sensitivity is the best at this or a higher one: all-point interpolation of the PASCAL VOC
        challenge from 2010 on (Everingham et al., IJCV 2015, doi 10.1007/s11263-014-0733-5).
        """
        if not self.truths:
            return None
        precision = self.true_positives / (self.true_positives + self.false_positives)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(np.diff(self.true_positives, prepend=0) * best) / self.truths)

    def froc(self, rates: Sequence[float] = FROC_RATES) -> dict[float, float] | None:
        """Return the highest sensitivity at no more than each rate of false positives per image.

        Free-response ROC (Bunch et al., Proc. SPIE 127, 1977, doi 10.1117/12.955926), not interpolated: a sensitivity
        that some threshold reaches. ``None`` without true boxes.
        """
        if not self.truths:
            return None
        found = np.concatenate([[0], self.true_positives])
        # both counts only grow, so that the last allowed point is the best one
        allowed = [int(np.searchsorted(self.false_positives, rate * self.images, side="right")) for rate in rates]
        return {rate: float(found[i] / self.truths) for rate, i in zip(rates, allowed, strict=True)}


def detection_curve(
    detections: Sequence[Detection], truths: Mapping[str, Sequence[Box]], *, min_iou: float = 0.5
) -> DetectionCurve:
    """Compare detections with true boxes.

    The order of the table does not matter; see :func:`match_detections` for which detections are right.

    Args:
        detections: of all images.
        truths: true boxes of each image by its id; of an image without any an empty list.
        min_iou: overlap from which a box is found, in (0, 1].

    Raises:
        ValueError: a detection is of an image that ``truths`` does not have.

    Example:
        >>> detections = [Detection("a", Box(0, 0, 10, 10), 0.9), Detection("b", Box(0, 0, 5, 5), 0.8)]
        >>> curve = detection_curve(detections, {"a": [Box(0, 0, 10, 8), Box(20, 20, 30, 30)], "b": []})
        >>> curve.average_precision, curve.froc((0.5,))
        (0.5, {0.5: 0.5})
    """
    scored = [(d.score, truth is not None) for d, truth in match_detections(detections, truths, min_iou=min_iou)]
    return DetectionCurve.of_scores(scored, sum(map(len, truths.values())), len(truths))


def match_detections(
    detections: Sequence[Detection], truths: Mapping[str, Sequence[Box]], *, min_iou: float = 0.5
) -> list[tuple[Detection, int | None]]:
    """Tell which true box each detection finds.

    From the highest score down, a detection finds the true box of its image that it overlaps most, if their IoU is at
    least ``min_iou`` and none has found it before; else it is false.

    Args:
        detections: as of :func:`detection_curve`.
        truths: as of :func:`detection_curve`.
        min_iou: overlap from which a box is found, in (0, 1].

    Returns:
        The detections from the highest score down, each with the number of its true box among those of its image, or
        ``None`` where it is false.

    Raises:
        ValueError: a detection is of an image that ``truths`` does not have.

    Example:
        >>> detections = [Detection("a", Box(0, 0, 10, 9), 0.8), Detection("a", Box(0, 0, 10, 10), 0.9)]
        >>> matched = match_detections(detections, {"a": [Box(0, 0, 10, 8)]})
        >>> [(detection.score, truth) for detection, truth in matched]
        [(0.9, 0), (0.8, None)]
    """
    unknown = sorted({d.image for d in detections} - truths.keys())
    if unknown:
        raise ValueError(f"truths lacks the image {unknown[0]!r}, of which there are detections.")
    taken: set[tuple[str, int]] = set()
    matched: list[tuple[Detection, int | None]] = []
    for detection in sorted(detections, key=lambda d: -d.score):
        overlaps = [detection.box.iou(box) for box in truths[detection.image]]
        best = max(range(len(overlaps)), key=overlaps.__getitem__, default=-1)
        found = best >= 0 and overlaps[best] >= min_iou and (detection.image, best) not in taken
        if found:
            taken.add((detection.image, best))
        matched.append((detection, best if found else None))
    return matched
