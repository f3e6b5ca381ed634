"""The box around a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a mask (H, W) in pixels; right and bottom are the first ones outside.

    Raises:
        ValueError: the mask is empty.

    Example:
        >>> mask_box(np.array([[0, 0, 0, 0], [0, 1, 1, 0]], dtype=bool))
        (1, 1, 3, 2)
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("An empty mask has no box.")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
