"""Rectangles of pixels: one type, how to make, crop and paste them, and regions of a screen within them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import UserError, check_number

BOX_COLUMNS = ("top", "left", "bottom", "right")
"""Columns of a box in tables, in the order of its fields."""


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle of pixels, half open: ``bottom`` and ``right`` are the first row and column outside.

    Args:
        top: first row.
        left: first column.
        bottom: first row below.
        right: first column to the right.

    Example:
        >>> box = Box(2, 1, 4, 6)
        >>> np.arange(48).reshape(6, 8)[box.slices].shape, box.area, box.xyxy
        ((2, 5), 10, (1, 2, 6, 4))
    """

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of_image(cls, size: Sequence[int]) -> Box:
        """Return the box of a whole image of ``size`` (height, width)."""
        height, width = size
        return cls(0, 0, height, width)

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> Box:
        """Return the smallest box that holds all pixels of a mask (H, W), ``Box(0, 0, 0, 0)`` of an empty one.

        Example:
            >>> Box.from_mask(np.array([[0, 0, 0, 0], [0, 1, 1, 0]], dtype=bool))
            Box(top=1, left=1, bottom=2, right=3)
        """
        # bool already costs nothing; bytes of anything else would not be its pixels
        left, top, width, height = cv2.boundingRect(mask.astype(bool, copy=False).view(np.uint8))
        return cls(top, left, top + height, left + width)

    @classmethod
    def from_slices(cls, slices: tuple[slice, slice]) -> Box:
        """Return the box of rows and columns, as ``scipy.ndimage.find_objects`` gives them."""
        rows, columns = slices
        return cls(int(rows.start), int(columns.start), int(rows.stop), int(columns.stop))

    @classmethod
    def from_xyxy(cls, xyxy: Sequence[float]) -> Box:
        """Return the box of left, top, right and bottom, each rounded to whole pixels."""
        left, top, right, bottom = (round(side) for side in xyxy)
        return cls(top, left, bottom, right)

    @classmethod
    def from_shares(cls, xyxy: Sequence[float], size: tuple[int, int]) -> Box:
        """Return the box nearest to left, top, right and bottom as shares of an image.

        It is at least one pixel wide and high and lies inside the image of ``size`` (height, width).

        Example:
            >>> Box.from_shares((0.1, 0.25, 0.5, 0.25), (4, 10))
            Box(top=1, left=1, bottom=2, right=5)
        """
        left, top, right, bottom = xyxy
        (first_row, last_row), (first, last) = _whole(top, bottom, size[0]), _whole(left, right, size[1])
        return cls(first_row, first, last_row, last)

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Top, left, bottom and right, as tables and the items of transforms have them."""
        return self.top, self.left, self.bottom, self.right

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, the order of MONAI's ``StandardMode`` and of most viewers."""
        return self.left, self.top, self.right, self.bottom

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, which index an array (H, W)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """Number of pixels, 0 where it has none."""
        return max(self.height, 0) * max(self.width, 0)

    def shifted(self, rows: int, columns: int) -> Box:
        """Return the box moved down and to the right."""
        return Box(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def intersection(self, other: Box) -> Box:
        """Return the pixels of both; its area is 0 where there are none."""
        return Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def iou(self, other: Box) -> float:
        """Return the area of the intersection by that of the union, 0 where both are without area."""
        shared = self.intersection(other).area
        union = self.area + other.area - shared
        return shared / union if union else 0.0


def tight_box(box: Box, image_size: Sequence[int]) -> Box:
    """Return ``box`` as far as it lies inside an image of ``image_size`` (height, width).

    Raises:
        UserError: nothing of the box lies inside.
    """
    inside = box.intersection(Box.of_image(image_size))
    if not inside.area:
        height, width = image_size
        raise UserError(
            f"The box {box.sides} has no pixel inside the image of {height} x {width}: "
            "give (top, left, bottom, right) in pixels."
        )
    return inside


def loose_box(box: Box, scale: float, image_size: Sequence[int]) -> Box:
    """Return a square around the center of ``box``, shifted to stay inside the image.

    Its side is ``scale`` times the longer side of the box, rounded; an axis of the image that is shorter is taken
    whole, and the result is then no square. The loose box of Singh et al., Expert Systems with Applications 2020, doi
    10.1016/j.eswa.2019.112855, which does not give the scale; at 1.5 a square box fills 44 % of it.

    Args:
        box: around the tumor; parts outside the image are cut off first.
        scale: at least 1.
        image_size: (height, width) in pixels.

    Raises:
        UserError: ``scale`` below 1, or nothing of the box lies inside.

    Example:
        >>> loose_box(Box(40, 50, 50, 70), 1.5, (100, 200))
        Box(top=30, left=45, bottom=60, right=75)
    """
    check_loose_scale(scale)
    box = tight_box(box, image_size)
    height, width = image_size
    side = round(min(scale * max(box.height, box.width), max(image_size)))
    top, bottom = _around(box.top, box.bottom, side, height)
    left, right = _around(box.left, box.right, side, width)
    return Box(top, left, bottom, right)


def lesion_crop(box: Box, area: float, share: float, image_size: Sequence[int]) -> Box:
    """Return a square around the center of ``box``, of which a lesion covers a share, shifted to stay inside the image.

    It holds the whole box, and where that is longer the share is smaller; an axis of the image that is shorter is taken
    whole, and the result is then no square and the share larger.

    Args:
        box: around the lesion.
        area: of the lesion in pixels.
        share: of the square, in (0, 1].
        image_size: (height, width) in pixels.

    Raises:
        UserError: nothing of the box lies inside.

    Example:
        >>> lesion_crop(Box(40, 50, 50, 60), 80, 0.2, (100, 200))
        Box(top=35, left=45, bottom=55, right=65)
        >>> lesion_crop(Box(2, 50, 12, 60), 80, 0.2, (15, 200))
        Box(top=0, left=45, bottom=15, right=65)
    """
    box = tight_box(box, image_size)
    side = max(round((area / share) ** 0.5), box.height, box.width)
    top, bottom = _around(box.top, box.bottom, side, image_size[0])
    left, right = _around(box.left, box.right, side, image_size[1])
    return Box(top, left, bottom, right)


def check_loose_scale(scale: float) -> None:
    """Raise a user error unless ``scale`` is at least 1."""
    check_number("loose_scale", scale, at_least=1)


def _around(start: int, stop: int, side: int, size: int) -> tuple[int, int]:
    """Return the segment of ``side`` pixels, or of all ``size``, nearest to the center of the given one."""
    side = min(side, size)
    first = min(max((start + stop - side) // 2, 0), size - side)
    return first, first + side


def _whole(start: float, stop: float, side: int) -> tuple[int, int]:
    first = min(max(round(start * side), 0), side - 1)
    return first, max(min(round(stop * side), side), first + 1)


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
        mask[self.box.slices] = self.where
        return mask

    @property
    def where(self) -> NDArray[np.bool_] | bool:
        """Its pixels within its box, ``True`` where these are all, as NumPy takes it."""
        return True if self.spans is None else self.inside()

    def inside(self) -> NDArray[np.bool_]:
        """Return its pixels within its box, to be read alone."""
        return _inside(self)

    def shifted(self, rows: int, columns: int) -> Region:
        """Return the region moved down and to the right."""
        spans = self.spans and tuple((first + rows, end + rows) for first, end in self.spans)
        return Region(self.box.shifted(rows, columns), spans)

    def mirrored(self, width: int) -> Region:
        """Return the region in a screen of ``width`` columns that is mirrored left to right."""
        box = Box(self.box.top, width - self.box.right, self.box.bottom, width - self.box.left)
        return Region(box, self.spans and self.spans[::-1])


@lru_cache(maxsize=4)  # an image is asked for it several times, and all frames of a cine
def _inside(region: Region) -> NDArray[np.bool_]:
    if region.spans is None:
        inside = np.ones((region.box.height, region.box.width), dtype=bool)
    else:
        first, end = np.array(region.spans).T
        rows = np.arange(region.box.top, region.box.bottom)[:, None]
        inside = np.asarray((rows >= first) & (rows < end))
    inside.flags.writeable = False
    return inside


def mask_of(regions: Sequence[Region], size: Sequence[int]) -> NDArray[np.bool_]:
    """Return the pixels of all regions in a screen of ``size`` (height, width)."""
    mask = np.zeros(tuple(size), dtype=bool)
    for region in regions:
        mask[region.box.slices] |= region.inside()
    return mask


def is_all(regions: Sequence[Region], size: Sequence[int]) -> bool:
    """Tell whether a single image fills a screen of ``size`` (height, width).

    Example:
        >>> is_all([Region(Box(0, 0, 2, 3))], (2, 3)), is_all([Region(Box(0, 0, 2, 3))], (2, 4))
        (True, False)
    """
    return len(regions) == 1 and regions[0] == Region(Box.of_image(size))


def only_inside(regions: Sequence[Region], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values of a screen (H, W) in some regions, 0 elsewhere; themselves where these are all.

    Example:
        >>> only_inside([Region(Box(0, 1, 2, 3))], np.ones((2, 4), np.float32))
        array([[0., 1., 1., 0.],
               [0., 1., 1., 0.]], dtype=float32)
    """
    if is_all(regions, values.shape):
        return np.ascontiguousarray(values)
    kept = np.zeros_like(values, order="C")
    for region in regions:
        part = region.box.slices
        np.copyto(kept[part], values[part], where=region.where)
    return kept


def box_around(regions: Sequence[Region]) -> Box:
    """Return the smallest box that holds all of some regions, at least one."""
    boxes = [region.box for region in regions]
    return Box(
        min(box.top for box in boxes),
        min(box.left for box in boxes),
        max(box.bottom for box in boxes),
        max(box.right for box in boxes),
    )
