"""Boxes as offsets from default boxes, and back."""

from __future__ import annotations

import torch
from monai.data.box_utils import CenterSizeMode, StandardMode, convert_box_mode
from torch import Tensor

CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
"""Typical spreads of the offsets, by which they are divided: the values of Liu et al.'s code."""
MOST_LOG_SIZE = 4.0
"""Bound of a decoded logarithm of size: e^4 = 55 times a default box is more than any image."""


def encode_boxes(boxes: Tensor, defaults: Tensor) -> Tensor:
    """Return the offsets of boxes from default boxes.

    Liu et al., ECCV 2016, doi 10.1007/978-3-319-46448-0_2, equation 2: shifts of the centre by the default's size, and
    logarithms of the ratios of sizes, each divided by its variance.

    Args:
        boxes: (N, 4), left, top, right, bottom as shares of the image, of positive width and height.
        defaults: (N, 4), centre x, centre y, width, height.

    Returns:
        (N, 4), offsets in x, y, width and height.
    """
    centres, sizes = torch.split(_as_centres(boxes), 2, dim=-1)
    default_centres, default_sizes = torch.split(defaults, 2, dim=-1)
    shifts = (centres - default_centres) / default_sizes / CENTRE_VARIANCE
    return torch.cat([shifts, (sizes / default_sizes).log() / SIZE_VARIANCE], dim=-1)


def decode_boxes(offsets: Tensor, defaults: Tensor) -> Tensor:
    """Return the boxes of offsets (N, 4) from default boxes (N, 4): the inverse of :func:`encode_boxes`."""
    shifts, logs = torch.split(offsets, 2, dim=-1)
    default_centres, default_sizes = torch.split(defaults, 2, dim=-1)
    centres = default_centres + shifts * CENTRE_VARIANCE * default_sizes
    # an untrained network may say anything, but an infinite box has no IoU
    sizes = default_sizes * (logs * SIZE_VARIANCE).clamp(max=MOST_LOG_SIZE).exp()
    return as_corners(torch.cat([centres, sizes], dim=-1))


def as_corners(boxes: Tensor) -> Tensor:
    """Turn centre x, centre y, width, height (N, 4) into left, top, right, bottom (N, 4)."""
    corners: Tensor = convert_box_mode(boxes, src_mode=CenterSizeMode, dst_mode=StandardMode)
    return corners


def _as_centres(boxes: Tensor) -> Tensor:
    centres: Tensor = convert_box_mode(boxes, src_mode=StandardMode, dst_mode=CenterSizeMode)
    return centres
