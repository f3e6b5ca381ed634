"""The lesion in a box."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bus_monai.interaction.find_outline import Guess, find_outline
from bus_monai.lesion import label_components

Box: TypeAlias = tuple[int, int, int, int]
LEAST, MOST = 0.3, 1.4
PRICE = 2.0
"""High, for the ellipse that touches the sides of a box has a Dice of 0.89 already, on BUSI."""


def fill_box(
    image: NDArray[np.floating], probability: NDArray[np.floating], mask: NDArray[np.bool_], box: Box
) -> NDArray[np.bool_]:
    """Return the mask with one lesion in a box; what else of it touches the box goes, the rest stays.

    Args:
        image: (H, W), grey values in [0, 1].
        probability: (H, W), of lesion, in [0, 1].
        mask: (H, W), what is lesion so far.
        box: left, top, right and bottom in pixels; right and bottom are the first ones outside.
    """
    left, top, right, bottom = box
    inside = np.s_[top:bottom, left:right]
    labels, _ = label_components(mask)
    filled = mask & ~np.isin(labels, labels[inside])
    height, width = (bottom - top) / 2, (right - left) / 2
    guess = Guess((top + bottom - 1) / 2, (left + right - 1) / 2, height, width, LEAST, MOST, PRICE)
    filled[inside] = find_outline(image, probability, guess, ())[inside]
    return filled
