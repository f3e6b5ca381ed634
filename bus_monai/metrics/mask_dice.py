"""Dice of two masks, without a table of cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return Dice of two masks of the same shape, in [0, 1]; of two empty ones 1."""
    pixels = int(mask.sum() + truth.sum())
    return 2 * int((mask & truth).sum()) / pixels if pixels else 1.0
