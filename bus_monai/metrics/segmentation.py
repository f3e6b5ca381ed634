"""Scores of one case: overlap, surface distances, findings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bus_monai.metrics.arrays import ArrayOrTensor, as_array, as_masks
from bus_monai.metrics.findings import Calibration, Finding, compare_components

_LOGITS = np.arange(-14, 14.01, 0.125)
BIN_EDGES = 1 / (1 + np.exp(-_LOGITS))
"""Borders of the bins, even in logits: a sigmoid output crowds near 0 and 1, where even probabilities would not tell
it apart. What lies beyond the first and last border has a bin of its own."""
BIN_COUNT = len(BIN_EDGES) + 1
BIN_CENTERS = 1 / (1 + np.exp(-np.concatenate([[_LOGITS[0]], (_LOGITS[1:] + _LOGITS[:-1]) / 2, [_LOGITS[-1]]])))
"""The probability that stands for each bin."""
M_IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
"""0.50, 0.55, ... 0.95: RDA-UNET-WGAN, Negi et al. 2020, doi 10.1007/s13369-020-04480-z, public code."""
PROBABILITY_TOLERANCE = 1e-4
"""A probability may leave [0, 1] by this much, since interpolation rounds."""


def probability_histogram(probabilities: ArrayOrTensor) -> tuple[int, ...]:
    """Count probabilities in [0, 1] of any shape by bin; ``BIN_COUNT`` counts.

    A bin holds its lower border, so that thresholding at a border splits no bin.

    Example:
        >>> counts = probability_histogram(np.array([0.0, 0.5, 0.5, 1.0]))
        >>> counts[0], counts[-1], sum(counts), [round(float(BIN_CENTERS[i]), 2) for i, n in enumerate(counts) if n > 1]
        (1, 1, 4, [0.52])
    """
    probabilities = as_array(probabilities)
    bins = np.searchsorted(BIN_EDGES.astype(probabilities.dtype), probabilities.ravel(), side="right")
    return tuple(int(count) for count in np.bincount(bins, minlength=BIN_COUNT))


class SurfaceDistances(NamedTuple):
    """Distances of the boundary pixels of a prediction to the true boundary, and back, in the unit of the spacing."""

    predicted: NDArray[np.float64]
    truth: NDArray[np.float64]

    @property
    def hausdorff95(self) -> float:
        """The larger of the two directions' 95th percentiles."""
        return float(max(np.percentile(self.predicted, 95), np.percentile(self.truth, 95)))

    @property
    def average(self) -> float:
        """The mean over the boundary pixels of both masks (ASSD)."""
        return float(np.concatenate(self).mean())


def surface_distances(
    predicted: ArrayOrTensor, truth: ArrayOrTensor, *, spacing: tuple[float, float] = (1.0, 1.0)
) -> SurfaceDistances:
    """Distance from each boundary pixel of one mask to the nearest boundary pixel of the other, in both directions.

    A boundary pixel belongs to the mask and has one of its four neighbors, or the image's edge, outside of it: the
    definition of MONAI's ``compute_hausdorff_distance``, whose distances are equal. MONAI's are not taken since they
    need PyTorch, which scoring does not import, and since they need 3 to 14 times as long, measured on lesions of 3,000
    to 280,000 pixels (500 x 500 pixels: 9 ms here, 29 to 56 ms there). Of an empty mask theirs are NaN or infinite.

    Args:
        predicted: (H, W), values 0 and 1, not empty.
        truth: (H, W), values 0 and 1, not empty.
        spacing: of rows and columns; the distances have its unit.

    Returns:
        Those of either direction.

    Raises:
        ValueError: shapes differ, a mask is empty, or has other values or another number of dimensions.

    Example:
        >>> a, b = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
        >>> a[0, 2], b[0, 6] = True, True
        >>> surface_distances(a, b, spacing=(1.0, 0.5)).truth
        array([2.])
    """
    predicted, truth = as_masks(predicted, truth, dimensions=2)
    if not predicted.any() or not truth.any():
        raise ValueError("An empty mask has no outline to measure from: give two masks with a pixel at least.")
    ours, theirs = (np.argwhere(boundary(mask)) * np.asarray(spacing) for mask in (predicted, truth))
    return SurfaceDistances(KDTree(theirs).query(ours)[0], KDTree(ours).query(theirs)[0])


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the boundary pixels of a mask (H, W).

    Example:
        >>> boundary(np.ones((3, 3), dtype=bool)).astype(int)
        array([[1, 1, 1],
               [1, 0, 1],
               [1, 1, 1]])
    """
    inside = np.zeros_like(mask)
    inside[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~inside


def hausdorff95(predicted: ArrayOrTensor, truth: ArrayOrTensor, *, spacing: tuple[float, float] = (1.0, 1.0)) -> float:
    """Return the 95th percentile of the surface distances, the larger of both directions (HD95).

    Takes and raises what :func:`surface_distances` does.

    Example:
        >>> a, b = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
        >>> a[0, 2], b[0, 6] = True, True
        >>> hausdorff95(a, b)
        4.0
    """
    return surface_distances(predicted, truth, spacing=spacing).hausdorff95


def average_distance(
    predicted: ArrayOrTensor, truth: ArrayOrTensor, *, spacing: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Return the mean of the surface distances over the boundary pixels of both masks (ASSD).

    Takes and raises what :func:`surface_distances` does.

    Example:
        >>> a, b = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
        >>> a[0, 2], b[0, 6] = True, True
        >>> average_distance(a, b, spacing=(1.0, 0.5))
        2.0
    """
    return surface_distances(predicted, truth, spacing=spacing).average


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
        dice: 2 tp / (2 tp + fp + fn); F1, which some papers print beside it, is the same.
        iou: tp / (tp + fp + fn).
        precision: tp / (tp + fp), and 0 where nothing is predicted.
        sensitivity: tp / (tp + fn).
        specificity: tn / (tn + fp); ``None`` where the lesion fills the image.
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
        findings: predicted components that are large enough for one, and the lesion that each finds.
        lesion_histogram: probabilities of lesion pixels by bin,
            :func:`~bus_monai.metrics.segmentation.probability_histogram`.
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
    findings: tuple[Finding, ...]
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
    calibration: Calibration | None = None,
) -> CaseScores:
    """Compare a probability map with the true mask.

    Args:
        probability: (H, W), values in [0, 1]; an array or a tensor, as ``truth``.
        truth: (H, W), values 0 and 1.
        threshold: a pixel is lesion from this probability on, in (0, 1].
        spacing_mm: of rows and columns, ``None`` where unknown.
        calibration: of the findings.

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
    compared = compare_components(predicted, truth)
    detections = compared.detections
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
        findings=compared.findings(probability, spacing_mm=spacing_mm, calibration=calibration),
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
    return distances.hausdorff95, distances.average


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
    if not (probability.min() >= -PROBABILITY_TOLERANCE and probability.max() <= 1 + PROBABILITY_TOLERANCE):
        raise ValueError(f"probability must lie in [0, 1], got {probability.min()} to {probability.max()}.")
    if truth.dtype != bool and not ((truth == 0) | (truth == 1)).all():
        raise ValueError("truth must hold 0 and 1 alone.")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1], got {threshold}.")
    if spacing_mm is not None and not (len(spacing_mm) == 2 and all(0 < value < math.inf for value in spacing_mm)):
        raise ValueError(f"spacing_mm must be two positive numbers or None, got {spacing_mm}.")


def mask_dice(predicted: ArrayOrTensor, truth: ArrayOrTensor) -> float:
    """Return Dice of two masks, in [0, 1]; of two empty ones 1.

    Args:
        predicted: of any shape, values 0 and 1.
        truth: of the same shape, values 0 and 1.

    Raises:
        ValueError: shapes differ, or a mask has other values.

    Example:
        >>> mask_dice(np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 0]]))
        0.6666666666666666
    """
    predicted, truth = as_masks(predicted, truth)
    pixels = int(np.count_nonzero(predicted) + np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(predicted & truth)) / pixels if pixels else 1.0
