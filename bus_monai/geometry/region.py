"""A part of a screen that shows an ultrasound image: a box, or what a curved probe sees in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bus_monai.geometry.box import Box


@dataclass(frozen=True)
class Region:
    """Where one ultrasound image lies.

    Args:
        box: around it.
        spans: of each column of the box the first row of the image and the first below it, counted from the top of the
            screen; ``None`` where the image fills the box.

    Example:
        >>> triangle = Region(Box(1, 0, 3, 2), ((1, 3), (2, 3)))
        >>> triangle.mask((4, 3)).astype(int).tolist()
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]]
    """

    box: Box
    spans: tuple[tuple[int, int], ...] | None = None

    def mask(self, size: Sequence[int]) -> NDArray[np.bool_]:
        """Return its pixels in a screen of ``size`` (height, width)."""
        mask = np.zeros(tuple(size), dtype=bool)
        mask[self.box.slices] = True if self.spans is None else self.inside()
        return mask

    def inside(self) -> NDArray[np.bool_]:
        """Return its pixels within its box."""
        if self.spans is None:
            return np.ones((self.box.height, self.box.width), dtype=bool)
        first, end = np.array(self.spans).T
        rows = np.arange(self.box.top, self.box.bottom)[:, None]
        return np.asarray((rows >= first) & (rows < end))

    def shifted(self, rows: int, columns: int) -> Region:
        """Return the region moved down and to the right."""
        spans = self.spans and tuple((first + rows, end + rows) for first, end in self.spans)
        return Region(self.box.shifted(rows, columns), spans)

    def mirrored(self, width: int) -> Region:
        """Return the region in a screen of ``width`` columns that is mirrored left to right."""
        box = Box(self.box.top, width - self.box.right, self.box.bottom, width - self.box.left)
        return Region(box, self.spans and self.spans[::-1])


def mask_of(regions: Sequence[Region], size: Sequence[int]) -> NDArray[np.bool_]:
    """Return the pixels of all regions in a screen of ``size`` (height, width)."""
    mask = np.zeros(tuple(size), dtype=bool)
    for region in regions:
        mask[region.box.slices] |= region.inside()
    return mask


def box_around(regions: Sequence[Region]) -> Box:
    """Return the smallest box that holds all of some regions, at least one."""
    boxes = [region.box for region in regions]
    return Box(
        min(box.top for box in boxes),
        min(box.left for box in boxes),
        max(box.bottom for box in boxes),
        max(box.right for box in boxes),
    )
