"""How far an exported model is from PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bus_monai.metrics.mask_dice import mask_dice

Segment: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From grey pixels (H, W) in [0, 1] to probabilities (H, W)."""


@dataclass(frozen=True)
class Drift:
    """Differences over several images.

    Args:
        images: how many.
        largest: largest difference of a pixel's probability.
        dice_change: mean of Dice with the exported model minus Dice with PyTorch, masks being cut at 0.5. Where the
            lesions of an image are not known, the mask of PyTorch is the truth, and its Dice 1. Two empty masks have
            a Dice of 1.
    """

    images: int
    largest: float
    dice_change: float

    def __str__(self) -> str:
        return (
            f"largest difference of probability {self.largest:.2g}, mean change of Dice {self.dice_change:+.4f}, "
            f"{self.images} images"
        )


def measure_drift(
    exported: Segment, eager: Segment, images: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_] | None]]
) -> Drift:
    """Compare two models on images (H, W) with their lesions (H, W) where these are known.

    Raises:
        ValueError: there is no image.
    """
    largest, changes = [], []
    for pixels, truth in images:
        ours, theirs = exported(pixels), eager(pixels)
        largest.append(float(np.abs(ours - theirs).max()))
        lesion = theirs >= 0.5 if truth is None else truth
        changes.append(mask_dice(ours >= 0.5, lesion) - mask_dice(theirs >= 0.5, lesion))
    if not changes:
        raise ValueError("There is no image to compare on.")
    return Drift(len(changes), max(largest), float(np.mean(changes)))
