"""Dice of two masks, without a table of cases."""

from __future__ import annotations

import numpy as np

from bus_monai.metrics.arrays import ArrayOrTensor, as_masks


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
