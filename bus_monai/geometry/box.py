"""Rectangles of pixels: one type, and how to make, crop and paste them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bus_monai.errors import UserError


class Frame(NamedTuple):
    """A rectangle of pixels, ``top`` and ``left`` included, ``bottom`` and ``right`` not."""

    top: int
    left: int
    bottom: int
    right: int


def full_frame(image_size: tuple[int, int]) -> Frame:
    """Return the frame of a whole image of ``image_size`` (height, width)."""
    return Frame(0, 0, *image_size)


def tight_frame(box: Frame, image_size: tuple[int, int]) -> Frame:
    """Return ``box`` itself, as far as it lies inside an image of ``image_size`` (height, width).

    Raises:
        UserError: nothing of the box lies inside.
    """
    height, width = image_size
    inside = Frame(max(box[0], 0), max(box[1], 0), min(box[2], height), min(box[3], width))
    if inside.top >= inside.bottom or inside.left >= inside.right:
        raise UserError(
            f"The box {tuple(box)} has no pixel inside the image of {height} x {width}: "
            "give (top, left, bottom, right) in pixels."
        )
    return inside


def loose_frame(box: Frame, scale: float, image_size: tuple[int, int]) -> Frame:
    """Return a square around the centre of ``box``, shifted to stay inside the image.

    Its side is ``scale`` times the longer side of the box, rounded; an axis of the image that is shorter is taken
    whole, and the frame is then no square. The loose frame of Singh et al., Expert Systems with Applications 2020, doi
    10.1016/j.eswa.2019.112855, which does not give the scale; at 1.5 a square box fills 44 % of it.

    Args:
        box: around the tumour; parts outside the image are cut off first.
        scale: at least 1.
        image_size: (height, width) in pixels.

    Raises:
        UserError: ``scale`` below 1, or nothing of the box lies inside.
    """
    check_loose_scale(scale)
    box = tight_frame(box, image_size)
    side = round(min(scale * max(box.bottom - box.top, box.right - box.left), max(image_size)))
    top, bottom = _around(box.top, box.bottom, side, image_size[0])
    left, right = _around(box.left, box.right, side, image_size[1])
    return Frame(top, left, bottom, right)


def check_loose_scale(scale: float) -> None:
    """Raise a user error unless ``scale`` is at least 1."""
    if not scale >= 1:
        raise UserError(f"loose_scale is {scale}: give 1 or more.")


def crop(image: Tensor, frame: Frame) -> Tensor:
    """Return the pixels (..., h, w) of ``image`` (..., H, W) inside ``frame``, as a view."""
    return image[..., frame.top : frame.bottom, frame.left : frame.right]


def paste(mask: Tensor, frame: Frame, image_size: tuple[int, int]) -> Tensor:
    """Put the mask of a crop back to its place in an empty mask of the image.

    Args:
        mask: (C, h, w) of the crop; brought to the size of ``frame`` by its nearest pixels if it has another.
        frame: where the crop was taken, inside the image.
        image_size: (height, width) of the image in pixels.

    Returns:
        (C, height, width), 0 outside ``frame``.
    """
    size = (frame.bottom - frame.top, frame.right - frame.left)
    if tuple(mask.shape[1:]) != size:
        mask = F.interpolate(mask[None].float(), size=size, mode="nearest-exact")[0].to(mask.dtype)
    whole = mask.new_zeros((mask.shape[0], *image_size))
    crop(whole, frame).copy_(mask)
    return whole


def _around(start: int, stop: int, side: int, size: int) -> tuple[int, int]:
    """Return the segment of ``side`` pixels, or of all ``size``, nearest to the centre of the given one."""
    side = min(side, size)
    first = min(max((start + stop - side) // 2, 0), size - side)
    return first, first + side


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
