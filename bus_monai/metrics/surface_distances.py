"""Distances between the outlines of two masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bus_monai.metrics.arrays import ArrayOrTensor, as_masks


def surface_distances(
    predicted: ArrayOrTensor, truth: ArrayOrTensor, *, spacing: tuple[float, float] = (1.0, 1.0)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from each boundary pixel of one mask to the nearest boundary pixel of the other, in both directions.

    A boundary pixel belongs to the mask and has one of its four neighbours, or the image's edge, outside of it: the
    definition of MONAI's ``compute_hausdorff_distance``, whose distances are equal. MONAI's are not taken since they
    need PyTorch, which scoring does not import, and since they need 3 to 14 times as long, measured on lesions of 3,000
    to 280,000 pixels (500 x 500 pixels: 9 ms here, 29 to 56 ms there). Of an empty mask theirs are NaN or infinite.

    Args:
        predicted: (H, W), values 0 and 1, not empty.
        truth: (H, W), values 0 and 1, not empty.
        spacing: of rows and columns; the distances have its unit.

    Returns:
        Distances of the predicted boundary to the true one, and of the true one to the predicted.

    Raises:
        ValueError: shapes differ, a mask is empty, or has other values or another number of dimensions.

    Example:
        >>> a, b = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
        >>> a[0, 2], b[0, 6] = True, True
        >>> surface_distances(a, b, spacing=(1.0, 0.5))
        (array([2.]), array([2.]))
    """
    predicted, truth = as_masks(predicted, truth, dimensions=2)
    if not predicted.any() or not truth.any():
        raise ValueError("An empty mask has no outline to measure from: give two masks with a pixel at least.")
    ours, theirs = (np.argwhere(boundary(mask)) * np.asarray(spacing) for mask in (predicted, truth))
    return KDTree(theirs).query(ours)[0], KDTree(ours).query(theirs)[0]


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the boundary pixels of a mask (H, W)."""
    inside = np.zeros_like(mask)
    inside[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~inside


def hausdorff95(distances: tuple[NDArray[np.float64], NDArray[np.float64]]) -> float:
    """Return the larger of the two directions' 95th percentiles."""
    return float(max(np.percentile(distances[0], 95), np.percentile(distances[1], 95)))


def average_distance(distances: tuple[NDArray[np.float64], NDArray[np.float64]]) -> float:
    """Return the mean over the boundary pixels of both masks (ASSD)."""
    return float(np.concatenate(distances).mean())
