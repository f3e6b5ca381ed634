"""A click of an annotator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Click(NamedTuple):
    """A point that an annotator says is lesion, or is not.

    Args:
        row: of the pixel, 0 at the top.
        column: of the pixel, 0 at the left.
        positive: whether the pixel is lesion.
    """

    row: int
    column: int
    positive: bool = True


def disc(shape: tuple[int, ...], centre: Click, radius: float) -> NDArray[np.bool_]:
    """Mark the pixels (H, W) of an image that are at most ``radius`` pixels from a click."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - centre.row) ** 2 + (columns - centre.column) ** 2 <= radius**2)
