"""Scores of one case."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bus_monai.metrics.arrays import ArrayOrTensor, as_array
from bus_monai.metrics.lesion_detection import count_detections
from bus_monai.metrics.probability_histogram import probability_histogram
from bus_monai.metrics.surface_distances import average_distance, hausdorff95, surface_distances

M_IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
"""0.50, 0.55, ... 0.95: RDA-UNET-WGAN, Negi et al. 2020, doi 10.1007/s13369-020-04480-z, public code."""
TOLERANCE = 1e-4
"""A probability may leave [0, 1] by this much, since interpolation rounds."""


@dataclass(frozen=True)
class CaseScores:
    """Scores of one prediction. ``None`` means "does not apply", never "bad".

    A normal case, one whose true mask is empty, has ``None`` in all that needs a lesion: overlap, sensitivity,
    precision and distances. A lesion for which nothing is predicted has overlap and precision 0, and the image's
    diagonal as its distances. ``accuracy``, ``specificity`` and ``m_iou`` count background, so an empty mask does well
    in them: they are no basis to select a model.

    Args:
        has_lesion: the true mask is not empty.
        tp: lesion pixels predicted as lesion.
        fp: background pixels predicted as lesion.
        fn: lesion pixels predicted as background.
        tn: background pixels predicted as background.
        accuracy: share of right pixels.
        dice: 2 tp / (2 tp + fp + fn).
        iou: tp / (tp + fp + fn).
        precision: tp / (tp + fp), and 0 where nothing is predicted.
        sensitivity: tp / (tp + fn).
        specificity: tn / (tn + fp); ``None`` where the lesion fills the image.
        f1: harmonic mean of precision and sensitivity; equal to ``dice``, and kept since papers print both.
        m_iou: mean of the IoU of lesion and of background, averaged over :data:`M_IOU_THRESHOLDS` (Negi et al. 2020).
        hd95_px: larger of the two directed 95th percentiles of the boundary distances, in pixels.
        assd_px: mean of the boundary distances of both directions, in pixels.
        hd95_mm: the same in mm; ``None`` where the spacing is unknown.
        assd_mm: the same in mm; ``None`` where the spacing is unknown.
        predicted_area_px: pixels predicted as lesion.
        true_area_px: pixels of lesion.
        predicted_area_mm2: the same in mm²; ``None`` where the spacing is unknown.
        true_area_mm2: the same in mm²; ``None`` where the spacing is unknown.
        false_positive: a normal case in which lesion is predicted.
        lesions: connected components of the true mask.
        lesions_found: those that a predicted component overlaps with an IoU of at least 0.1.
        false_components: predicted components that overlap no lesion so.
        lesion_histogram: probabilities of lesion pixels by bin,
            :func:`~bus_monai.metrics.probability_histogram.probability_histogram`.
        background_histogram: the same of background pixels.
    """

    has_lesion: bool
    tp: int
    fp: int
    fn: int
    tn: int
    accuracy: float
    dice: float | None
    iou: float | None
    precision: float | None
    sensitivity: float | None
    specificity: float | None
    f1: float | None
    m_iou: float | None
    hd95_px: float | None
    assd_px: float | None
    hd95_mm: float | None
    assd_mm: float | None
    predicted_area_px: int
    true_area_px: int
    predicted_area_mm2: float | None
    true_area_mm2: float | None
    false_positive: bool
    lesions: int
    lesions_found: int
    false_components: int
    lesion_histogram: tuple[int, ...]
    background_histogram: tuple[int, ...]

    @property
    def missed(self) -> bool:
        """Whether there is a lesion of which no pixel was found."""
        return self.has_lesion and self.tp == 0


def score_case(
    probability: ArrayOrTensor,
    truth: ArrayOrTensor,
    *,
    threshold: float = 0.5,
    spacing_mm: tuple[float, float] | None = None,
) -> CaseScores:
    """Compare a probability map with the true mask.

    Args:
        probability: (H, W), values in [0, 1].
        truth: (H, W), values 0 and 1.
        threshold: a pixel is lesion from this probability on, in (0, 1].
        spacing_mm: of rows and columns, ``None`` where unknown.

    Raises:
        ValueError: an argument has a wrong shape or wrong values.

    Example:
        >>> scores = score_case(np.array([[0.9, 0.9, 0.1]]), np.array([[1, 0, 0]]))
        >>> scores.precision, scores.sensitivity, scores.iou
        (0.5, 1.0, 0.5)
    """
    probability, truth = as_array(probability), as_array(truth)
    _check(probability, truth, threshold, spacing_mm)
    truth = truth.astype(bool)
    predicted = probability >= threshold
    true_area, area = int(np.count_nonzero(truth)), int(np.count_nonzero(predicted))
    tp = int(np.count_nonzero(predicted[truth]))
    fp, fn, tn = area - tp, true_area - tp, truth.size - area - true_area + tp
    lesion = true_area > 0
    pixel_mm2 = spacing_mm[0] * spacing_mm[1] if spacing_mm else None
    hd95_px, assd_px, hd95_mm, assd_mm = _distances(predicted, truth, spacing_mm) if lesion else (None,) * 4
    precision = (tp / area if area else 0.0) if lesion else None
    sensitivity = tp / true_area if lesion else None
    detections = count_detections(predicted, truth)
    return CaseScores(
        has_lesion=lesion,
        tp=tp,
        fp=fp,
        fn=fn,
        tn=tn,
        accuracy=(tp + tn) / truth.size,
        dice=2 * tp / (2 * tp + fp + fn) if lesion else None,
        iou=tp / (tp + fp + fn) if lesion else None,
        precision=precision,
        sensitivity=sensitivity,
        specificity=tn / (tn + fp) if tn + fp else None,
        f1=2 * precision * sensitivity / (precision + sensitivity) if precision and sensitivity else precision,
        m_iou=_m_iou(probability, truth) if lesion else None,
        hd95_px=hd95_px,
        assd_px=assd_px,
        hd95_mm=hd95_mm,
        assd_mm=assd_mm,
        predicted_area_px=area,
        true_area_px=true_area,
        predicted_area_mm2=area * pixel_mm2 if pixel_mm2 else None,
        true_area_mm2=true_area * pixel_mm2 if pixel_mm2 else None,
        false_positive=not lesion and area > 0,
        lesions=detections.lesions,
        lesions_found=detections.found,
        false_components=detections.false_components,
        lesion_histogram=probability_histogram(probability[truth]),
        background_histogram=probability_histogram(probability[~truth]),
    )


def _distances(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: tuple[float, float] | None
) -> tuple[float, float, float | None, float | None]:
    hd95, assd = _distances_in(predicted, truth, (1.0, 1.0))
    if spacing_mm is None:
        return hd95, assd, None, None
    if spacing_mm[0] == spacing_mm[1]:
        return hd95, assd, hd95 * spacing_mm[0], assd * spacing_mm[0]
    return hd95, assd, *_distances_in(predicted, truth, spacing_mm)


def _distances_in(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: tuple[float, float]
) -> tuple[float, float]:
    if not predicted.any():
        diagonal = math.hypot(truth.shape[0] * spacing[0], truth.shape[1] * spacing[1])
        return diagonal, diagonal
    distances = surface_distances(predicted, truth, spacing=spacing)
    return hausdorff95(distances), average_distance(distances)


def _m_iou(probability: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    of_lesion, true_area = probability[truth], int(np.count_nonzero(truth))
    values = []
    for threshold in M_IOU_THRESHOLDS:
        area, tp = np.count_nonzero(probability >= threshold), np.count_nonzero(of_lesion >= threshold)
        classes = [tp / (area + true_area - tp)]
        # a class in neither mask has no IoU: TensorFlow's mean_iou, which Negi et al. use, leaves it out
        if truth.size > tp:
            classes.append((truth.size - area - true_area + tp) / (truth.size - tp))
        values.append(sum(classes) / len(classes))
    return float(np.mean(values))


def _check(
    probability: NDArray[np.floating], truth: NDArray[Any], threshold: float, spacing_mm: tuple[float, float] | None
) -> None:
    if probability.ndim != 2 or probability.size == 0:
        raise ValueError(f"probability must have the shape (H, W), got {probability.shape}.")
    if truth.shape != probability.shape:
        raise ValueError(f"truth must have the shape of probability, {probability.shape}, got {truth.shape}.")
    # written so that NaN fails too
    if not (probability.min() >= -TOLERANCE and probability.max() <= 1 + TOLERANCE):
        raise ValueError(f"probability must lie in [0, 1], got {probability.min()} to {probability.max()}.")
    if truth.dtype != bool and not ((truth == 0) | (truth == 1)).all():
        raise ValueError("truth must hold 0 and 1 alone.")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1], got {threshold}.")
    if spacing_mm is not None and not (len(spacing_mm) == 2 and all(0 < value < math.inf for value in spacing_mm)):
        raise ValueError(f"spacing_mm must be two positive numbers or None, got {spacing_mm}.")
