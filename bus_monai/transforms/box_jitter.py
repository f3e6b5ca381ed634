"""Boxes as a detector finds them: not quite where they belong."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms.transform import Randomizable, Transform

from bus_monai.errors import UserError

ROUNDING = 0.3
"""Three pixels, for a box of ten."""


class RandBoxJitterd(Randomizable, Transform):
    """Move each side of the item's box by a random number of pixels, equally likely from -m to m.

    Args:
        jitter: m in heights of the box for top and bottom and in widths for left and right, rounded down; in [0, 0.5),
            so that some box remains.
        box_key: top, left, bottom and right in pixels; an item without it stays as it is.

    Raises:
        UserError: ``jitter`` outside its range.
    """

    def __init__(self, jitter: float = 0.1, *, box_key: str = "box") -> None:
        if not 0 <= jitter < 0.5:
            raise UserError(f"box_jitter is {jitter}: give a number from 0, and below 0.5.")
        self.jitter = jitter
        self.box_key = box_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move the sides of the box."""
        item = dict(data)
        if self.box_key in item:
            top, left, bottom, right = (int(side) for side in item[self.box_key])
            rows, columns = int(self.jitter * (bottom - top)), int(self.jitter * (right - left))
            moved = [
                side + int(self.R.randint(-most, most + 1))
                for side, most in zip((top, left, bottom, right), (rows, columns, rows, columns), strict=True)
            ]
            item[self.box_key] = torch.tensor(moved, dtype=torch.int64)
        return item


def room_to_jitter(loose_scale: float, jitter: float) -> float:
    """Return the scale of a loose frame that holds the loose frame of ``loose_scale`` around any jittered box.

    A training keeps this part of an image in memory instead of all. For boxes of fewer than ten pixels it may lack a
    pixel or two, and the frame is then moved by these.
    """
    return loose_scale * (1 + 2 * jitter) + 2 * jitter + ROUNDING
