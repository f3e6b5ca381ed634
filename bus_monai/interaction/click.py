"""A click of an annotator."""

from __future__ import annotations

from typing import NamedTuple


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
