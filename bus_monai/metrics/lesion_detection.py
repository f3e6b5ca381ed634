"""Which lesions were found, one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

from bus_monai.metrics.arrays import ArrayOrTensor, as_masks

LEAST_IOU = 0.1
"""Overlap from which a prediction counts as having found a lesion; less is a chance touch."""
_EIGHT = np.ones((3, 3), dtype=int)


@dataclass(frozen=True)
class Detections:
    """Counts of one image.

    Args:
        lesions: connected components of the true mask.
        found: those of them that a predicted component overlaps with an IoU of at least :data:`LEAST_IOU`.
        false_components: predicted components that overlap no lesion so.
    """

    lesions: int
    found: int
    false_components: int


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
    predicted, truth = as_masks(predicted, truth, dimensions=2)
    true_labels, lesions = label(truth, structure=_EIGHT)
    labels, components = label(predicted, structure=_EIGHT)
    # the count of each pair of labels; row and column 0 are background
    pairs = np.bincount((true_labels * (components + 1) + labels).ravel(), minlength=(lesions + 1) * (components + 1))
    pairs = pairs.reshape(lesions + 1, components + 1)
    overlap = pairs[1:, 1:]
    union = pairs[1:].sum(axis=1)[:, None] + pairs[:, 1:].sum(axis=0)[None] - overlap
    hit = overlap >= LEAST_IOU * union
    return Detections(lesions, int(hit.any(axis=1).sum()), components - int(hit.any(axis=0).sum()))
