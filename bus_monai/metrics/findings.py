"""Findings against lesions one by one: which are right, and how sure to be of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus_monai.geometry.lesion import label_components, pixel_area, smallest_area
from bus_monai.metrics.arrays import ArrayOrTensor, as_array, as_masks
from bus_monai.metrics.detection import DetectionCurve

MIN_IOU = 0.1
"""Overlap from which a prediction counts as having found a lesion; less is a chance touch."""
FINDING_RATES = (0.05, 0.1, 0.2, 0.5)
"""False findings per image at which lesions found are told."""
RELIABILITY_BINS = 10
CALIBRATION_KEY = "lesion_calibration"
"""Setting of a model: slope and intercept of its :class:`Calibration`."""
CHANCES = (0.01, 0.99)
"""Beyond these no chance is told: some thousand findings support no more."""


@dataclass(frozen=True)
class Detections:
    """Counts of one image.

    Args:
        lesions: connected components of the true mask.
        found: those of them that a predicted component overlaps with an IoU of at least :data:`MIN_IOU`.
        false_components: predicted components that overlap no lesion so.
    """

    lesions: int
    found: int
    false_components: int


class Finding(NamedTuple):
    """What a model shows as a lesion.

    Args:
        probability: mean over its pixels, or the chance that it is a lesion where the model is calibrated.
        lesion: number of the true lesion that it finds, from 1; 0 of a false one.
    """

    probability: float
    lesion: int


@dataclass(frozen=True)
class Calibration:
    """The chance that a finding is a lesion, of the mean probability over its pixels (Platt, Advances in Large Margin
    Classifiers, 1999).

    Args:
        slope: of the logit of the mean.
        intercept: of the chance's logit.

    Example:
        >>> round(Calibration(2.9, -3.1)(0.75), 3)
        0.521
    """

    slope: float
    intercept: float

    def __call__(self, probability: float) -> float:
        """Return the chance, from 0.01 to 0.99, for a mean probability in [0, 1]."""
        chance = 1 / (1 + exp(-(self.slope * _logit(probability) + self.intercept)))
        return float(np.clip(chance, *CHANCES))


def _logit(probability: float) -> float:
    inside = min(max(probability, 1e-6), 1 - 1e-6)
    return log(inside / (1 - inside))


def fit_calibration(findings: Iterable[Finding]) -> Calibration:
    """Fit the chance to findings of images that nothing was learned from, with their means over pixels.

    Raises:
        ValueError: all of them are lesions, or none is.

    Example:
        >>> sure, unsure = [Finding(0.95, 1)] * 9 + [Finding(0.95, 0)], [Finding(0.6, 1), Finding(0.6, 0)] * 5
        >>> calibration = fit_calibration(sure + unsure)
        >>> round(calibration(0.95), 2), round(calibration(0.6), 2)
        (0.9, 0.5)
    """
    from sklearn.linear_model import LogisticRegression

    findings = list(findings)
    right = [finding.lesion > 0 for finding in findings]
    if len(set(right)) < 2:
        raise ValueError("A calibration needs findings that are lesions and findings that are none.")
    logits = np.array([[_logit(finding.probability)] for finding in findings])
    fitted = LogisticRegression(C=np.inf).fit(logits, right)
    return Calibration(float(fitted.coef_.item()), float(fitted.intercept_.item()))


def count_detections(predicted: ArrayOrTensor, truth: ArrayOrTensor) -> Detections:
    """Compare two masks component by component, eight-connected.

    Args:
        predicted: (H, W), values 0 and 1.
        truth: (H, W), values 0 and 1.

    Raises:
        ValueError: shapes differ, or a mask has other values or another number of dimensions.

    Example:
        >>> truth = np.array([[1, 1, 0, 0, 1, 1]], dtype=bool)
        >>> count_detections(np.array([[1, 1, 0, 0, 0, 0]], dtype=bool), truth)
        Detections(lesions=2, found=1, false_components=0)
    """
    return compare_components(*as_masks(predicted, truth, dimensions=2)).detections


def match_findings(
    probability: ArrayOrTensor,
    truth: ArrayOrTensor,
    *,
    threshold: float = 0.5,
    spacing_mm: tuple[float, float] | None = None,
    calibration: Calibration | None = None,
) -> tuple[Finding, ...]:
    """Return the findings of a probability map, the surest first, as ``bus-monai segment`` would tell them.

    A finding is right where it overlaps a lesion with an IoU of at least :data:`MIN_IOU` that no surer one has found.
    Components too small for a finding (:func:`~bus_monai.geometry.lesion.smallest_area`) are none.

    Args:
        probability: (H, W), values in [0, 1].
        truth: (H, W), values 0 and 1.
        threshold: a pixel is lesion from this probability on.
        spacing_mm: of rows and columns, ``None`` where unknown.
        calibration: turns the mean over a finding's pixels into a chance.

    Example:
        >>> truth = np.array([[1, 1, 0, 0, 0, 0]])
        >>> match_findings(np.array([[0.9, 0.7, 0.0, 0.0, 0.0, 0.6]]), truth)
        (Finding(probability=0.8, lesion=1), Finding(probability=0.6, lesion=0))
    """
    probability, truth = as_array(probability), as_array(truth).astype(bool)
    compared = compare_components(probability >= threshold, truth)
    return compared.findings(probability, spacing_mm=spacing_mm, calibration=calibration)


@dataclass(frozen=True)
class ComparedComponents:
    """The components of a predicted mask against those of the true one.

    Args:
        labels: (H, W), number of each predicted component, 0 outside.
        sizes: pixels of each.
        overlaps: IoU of each with each true one, (components, lesions).
    """

    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]
    overlaps: NDArray[np.float64]

    @property
    def detections(self) -> Detections:
        """What :func:`count_detections` returns."""
        hit = self.overlaps >= MIN_IOU
        components, lesions = hit.shape
        return Detections(lesions, int(hit.any(axis=0).sum()), components - int(hit.any(axis=1).sum()))

    def findings(
        self,
        probability: NDArray[np.floating],
        *,
        spacing_mm: tuple[float, float] | None,
        calibration: Calibration | None,
    ) -> tuple[Finding, ...]:
        """Return what :func:`match_findings` does of the map (H, W) that the predicted mask is of."""
        large = np.flatnonzero(self.sizes * pixel_area(spacing_mm) >= smallest_area(len(self.labels), spacing_mm, None))
        if not len(large):
            return ()
        means = np.bincount(self.labels.ravel(), weights=probability.ravel())[1:] / self.sizes
        findings: list[Finding] = []
        found: set[int] = set()
        for component in sorted(large.tolist(), key=lambda number: -means[number]):
            best = int(self.overlaps[component].argmax()) + 1 if self.overlaps.size else 0
            right = best > 0 and self.overlaps[component, best - 1] >= MIN_IOU and best not in found
            found |= {best} if right else set()
            mean = round(float(means[component]), 6)
            findings.append(Finding(calibration(mean) if calibration else mean, best if right else 0))
        return tuple(findings)


def compare_components(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> ComparedComponents:
    """Compare two masks (H, W) component by component, eight-connected."""
    (labels, sizes), (true_labels, _) = label_components(predicted), label_components(truth)
    return ComparedComponents(labels, sizes, label_overlaps(labels, true_labels))


def label_overlaps(first: NDArray[np.integer], second: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the IoU of each of N lesions with each of M others, (N, M).

    Args:
        first: (H, W), numbers of lesions from 1 without gaps, 0 outside.
        second: those of the others.

    Example:
        >>> label_overlaps(np.array([[1, 1, 2, 0]]), np.array([[1, 0, 0, 1]]))
        array([[0.33333333],
               [0.        ]])
    """
    lesions, others = int(first.max()), int(second.max())
    # the count of each pair of labels; row and column 0 are background
    pairs = first.ravel().astype(np.int64) * (others + 1) + second.ravel()
    counts = np.bincount(pairs, minlength=(lesions + 1) * (others + 1)).reshape(lesions + 1, others + 1)
    both = counts[1:, 1:]
    return np.asarray(both / (counts[1:].sum(axis=1)[:, None] + counts[:, 1:].sum(axis=0)[None] - both))


def findings_curve(images: Sequence[tuple[Sequence[Finding], int]]) -> DetectionCurve:
    """Return how many lesions are found at how many false findings, as one asks for surer ones (FROC).

    Args:
        images: findings and number of lesions of each.

    Example:
        >>> curve = findings_curve([([Finding(0.9, 1), Finding(0.4, 0)], 2), ([Finding(0.6, 0)], 0)])
        >>> curve.froc((0.0, 1.0))
        {0.0: 0.5, 1.0: 0.5}
    """
    scored = [(finding.probability, finding.lesion > 0) for findings, _ in images for finding in findings]
    return DetectionCurve.of_scores(scored, sum(lesions for _, lesions in images), len(images))


@dataclass(frozen=True)
class Reliability:
    """How often findings of a told probability are lesions.

    Args:
        confidence: mean probability of each tenth of the probabilities; NaN where no finding falls in.
        frequency: share of lesions among the findings of each tenth.
        count: findings of each tenth.
        calibration_error: mean of the difference of confidence and frequency, weighted by the count (ECE: Naeini,
            Cooper and Hauskrecht, AAAI 2015).
        brier: mean squared difference of probability and truth (Brier, Monthly Weather Review 78, 1950).
    """

    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    count: NDArray[np.int64]
    calibration_error: float
    brier: float


def reliability(findings: Sequence[Finding]) -> Reliability | None:
    """Compare told probabilities with what the findings are; ``None`` without a finding.

    Example:
        >>> reliability([Finding(0.9, 1), Finding(0.9, 1), Finding(0.9, 0), Finding(0.2, 0)]).frequency[[2, 9]]
        array([0.        , 0.66666667])
    """
    if not findings:
        return None
    told = np.array([finding.probability for finding in findings])
    right = np.array([finding.lesion > 0 for finding in findings], dtype=np.float64)
    tenth = np.minimum((told * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    count, sums, hits = (np.bincount(tenth, weights, RELIABILITY_BINS) for weights in (None, told, right))
    confidence, frequency = (
        np.divide(values, count, out=np.full(RELIABILITY_BINS, np.nan), where=count > 0) for values in (sums, hits)
    )
    return Reliability(
        confidence=confidence,
        frequency=frequency,
        count=count,
        calibration_error=float(np.abs(sums - hits).sum() / len(findings)),
        brier=float(((told - right) ** 2).mean()),
    )
