"""From boxes as shares of an image to whole pixels of its source."""

from __future__ import annotations

from torch import Tensor

from bus_monai.transforms.frames import Frame


def box_frame(box: Tensor, size: tuple[int, int]) -> Frame:
    """Return the rectangle of whole pixels nearest to a box, at least one pixel wide and high and inside the image.

    Args:
        box: (4,), left, top, right, bottom as shares of the image.
        size: (height, width) of the image in pixels.
    """
    left, top, right, bottom = box.tolist()
    rows, columns = _whole(top, bottom, size[0]), _whole(left, right, size[1])
    return Frame(rows[0], columns[0], rows[1], columns[1])


def _whole(start: float, stop: float, side: int) -> tuple[int, int]:
    first = min(max(round(start * side), 0), side - 1)
    return first, max(min(round(stop * side), side), first + 1)
