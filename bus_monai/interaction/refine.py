"""A segmentation made better by clicks and a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import UserError
from bus_monai.interaction.apply_click import apply_click
from bus_monai.interaction.click import Click
from bus_monai.interaction.fill_box import Box, fill_box


def refine(
    image: NDArray[np.floating],
    probability_or_mask: NDArray[np.floating] | NDArray[np.bool_],
    clicks: Sequence[Click],
    box: Box | None = None,
) -> NDArray[np.bool_]:
    """Return the mask that an annotator asks for.

    A box is filled first, then the clicks count in their order, see
    :func:`~bus_monai.interaction.fill_box.fill_box` and :func:`~bus_monai.interaction.apply_click.apply_click`. Every
    pixel clicked at is as the last click there says; the same arguments always give the same mask. To go on, call it
    again with the same mask and one click more; to undo, with one less.

    Args:
        image: (H, W), grey values in [0, 1].
        probability_or_mask: (H, W), of lesion, in [0, 1], lesion from one half on; all zeros to begin from nothing.
        clicks: in the order they were made.
        box: left, top, right and bottom of one lesion in pixels; right and bottom are the first ones outside, as in
            :func:`~bus_monai.detection.mask_box.mask_box`.

    Returns:
        bool (H, W), the lesions.

    Raises:
        UserError: mask and image differ in size, a click lies outside, or the box has no area or lies outside.

    Example:
        >>> image = np.full((64, 64), 0.6)
        >>> image[20:40, 25:45] = 0.1
        >>> int(refine(image, np.zeros_like(image), [Click(30, 35)]).sum()) // 50
        8
    """
    _check(image, probability_or_mask, clicks, box)
    probability = probability_or_mask.astype(np.float32)
    mask = probability >= 0.5
    if box is not None:
        mask = fill_box(image, probability, mask, box)
    for number, click in enumerate(clicks):
        mask = apply_click(image, probability, mask, click, clicks[:number])
    return mask


def _check(image: NDArray[Any], given: NDArray[Any], clicks: Sequence[Click], box: Box | None) -> None:
    if image.shape != given.shape:
        raise UserError(
            f"The image has {_size(image)} pixels but its mask {_size(given)}: give a mask of the image's size."
        )
    rows, columns = image.shape
    for number, click in enumerate(clicks, start=1):
        if not (0 <= click.row < rows and 0 <= click.column < columns):
            raise UserError(
                f"Click {number} at row {click.row} and column {click.column} is outside the image of {_size(image)} "
                "pixels: click inside it."
            )
    if box is None:
        return
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        raise UserError(f"The box {box} has no area: give left, top, right and bottom with left < right, top < bottom.")
    if left < 0 or top < 0 or right > columns or bottom > rows:
        raise UserError(f"The box {box} leaves the image of {_size(image)} pixels: give one inside it.")


def _size(pixels: NDArray[Any]) -> str:
    return " x ".join(str(side) for side in pixels.shape)
