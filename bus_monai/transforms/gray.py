"""What transforms of one gray channel share: checks of shape and range, and the dictionary version."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform
from monai.utils.type_conversion import convert_to_dst_type, convert_to_numpy
from numpy.typing import NDArray
from torch import Tensor

from bus_monai.errors import UserError

RANGE_TOLERANCE = 1e-3
"""Interpolation and half precision leave [0, 1] by less than this."""


def check_gray(image: Any, what: str) -> None:
    """Check that an image or a mask has one channel.

    Args:
        image: anything with a shape, channel first.
        what: the transform that is given it.

    Raises:
        UserError: its shape is not (1, H, W).

    Example:
        >>> check_gray(np.zeros((3, 8, 8)), "Morphology")
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: Morphology takes one gray channel (1, H, W), not (3, 8, 8): load the image with
        LoadUltrasoundd, or give each channel alone.
    """
    shape: Sequence[int] = tuple(image.shape)
    if len(shape) != 3 or shape[0] != 1:
        raise UserError(
            f"{what} takes one gray channel (1, H, W), not {shape}: load the image with LoadUltrasoundd, or give each "
            "channel alone.",
            key=what,
        )


def check_unit(pixels: NDArray[Any], what: str) -> None:
    """Check that values are in [0, 1].

    Args:
        pixels: not empty.
        what: the transform that is given them.

    Raises:
        UserError: a value is outside or no number.

    Example:
        >>> check_unit(np.array([0.0, 255.0]), "SpeckleReduction")
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: SpeckleReduction takes values in [0, 1], not from 0 to 255: divide by the largest value that a pixel can have.
    """  # noqa: E501
    low, high = float(pixels.min()), float(pixels.max())
    # in this form NaN is refused too
    if not (low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE):
        raise UserError(
            f"{what} takes values in [0, 1], not from {low:g} to {high:g}: divide by the largest value that a pixel "
            "can have.",
            key=what,
        )


def gray_pixels(image: Tensor, what: str) -> NDArray[np.float32]:
    """Return the pixels (H, W) of an image (1, H, W), rows first in memory.

    Raises:
        UserError: as :func:`check_gray`.
    """
    check_gray(image, what)
    # ITK takes the axes of a column-major array in reverse
    return np.ascontiguousarray(convert_to_numpy(image[0]), dtype=np.float32)


def unit_pixels(image: Tensor, what: str) -> NDArray[np.float32]:
    """Return the pixels (H, W) of an image (1, H, W) with values in [0, 1], rows first in memory.

    Raises:
        UserError: as :func:`check_gray` and :func:`check_unit`.
    """
    pixels = gray_pixels(image, what)
    check_unit(pixels, what)
    return pixels


def as_image(pixels: NDArray[Any], image: Tensor) -> Tensor:
    """Return pixels (H, W) as a tensor (1, H, W) of the type and with the metadata of an image."""
    converted: Tensor = convert_to_dst_type(pixels[None], image)[0]
    return converted


class EachKeyd(MapTransform):
    """Dictionary version of a transform.

    Args:
        keys: of the tensors to transform.
        transform: of one tensor.
        allow_missing_keys: leave out keys that the item lacks.
    """

    def __init__(self, keys: KeysCollection, transform: Callable[[Any], Any], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform each key."""
        return dict(data) | {key: self.transform(data[key]) for key in self.key_iterator(data)}
