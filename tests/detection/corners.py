"""Boxes by center and size."""

from __future__ import annotations

from monai.data.box_utils import CenterSizeMode, StandardMode, convert_box_mode
from torch import Tensor


def as_corners(boxes: Tensor) -> Tensor:
    """Turn center x, center y, width, height (N, 4) into left, top, right, bottom (N, 4)."""
    return convert_box_mode(boxes, src_mode=CenterSizeMode, dst_mode=StandardMode)


def as_centers(boxes: Tensor) -> Tensor:
    """Turn left, top, right, bottom (N, 4) into center x, center y, width, height (N, 4)."""
    return convert_box_mode(boxes, src_mode=StandardMode, dst_mode=CenterSizeMode)
