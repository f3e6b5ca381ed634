"""Simulate an annotator's clicks, as benchmarks of interactive segmentation do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from bus_monai.interaction.outline import Click
from bus_monai.metrics.segmentation import mask_dice


class ClickedCase(NamedTuple):
    """The clicks of a simulated annotator on one image, and the Dice after each.

    Args:
        clicks: in order.
        dice: before the first click and after each, one more than there are clicks.
    """

    clicks: tuple[Click, ...]
    dice: tuple[float, ...]


def simulate_clicks(
    truth: NDArray[np.bool_],
    segment: Callable[[Sequence[Click]], NDArray[np.bool_]],
    *,
    target: float = 0.9,
    max_clicks: int = 20,
) -> ClickedCase:
    """Click where the mask is most wrong until it is good enough (Xu et al., CVPR 2016, doi 10.1109/CVPR.2016.47).

    The same arguments always give the same clicks.

    Args:
        truth: (H, W), the lesion to reach.
        segment: from all clicks so far, none at first, to a mask (H, W).
        target: Dice from which on the annotator is content.
        max_clicks: clicks after which the annotator gives up.
    """
    clicks: list[Click] = []
    mask = segment(())
    dice = [mask_dice(mask, truth)]
    while dice[-1] < target and len(clicks) < max_clicks:
        clicks.append(next_click(mask, truth, clicks))
        mask = segment(tuple(clicks))
        dice.append(mask_dice(mask, truth))
    return ClickedCase(tuple(clicks), tuple(dice))


def next_click(mask: NDArray[np.bool_], truth: NDArray[np.bool_], clicks: Sequence[Click] = ()) -> Click:
    """Return the center of the largest disk of wrong pixels, where no click is yet.

    Of several centers it is the first by rows, and lesion that is missing goes before what is too much. The border of
    the image bounds a disk. This is the annotator of Sofiiuk et al. 2021 (arXiv 2102.06583).

    Args:
        mask: (H, W), what is segmented.
        truth: (H, W), what should be.
        clicks: those before.

    Raises:
        ValueError: nothing is wrong but pixels that were clicked at.

    Example:
        >>> truth = np.zeros((5, 9), dtype=bool)
        >>> truth[1:4, 3:6] = True
        >>> next_click(np.zeros_like(truth), truth)
        Click(row=2, column=4, positive=True)
    """
    missing, surplus = (_depth(wrong, clicks) for wrong in (truth & ~mask, mask & ~truth))
    positive = bool(missing.max() >= surplus.max())
    depth = missing if positive else surplus
    if not depth.max():
        raise ValueError("There is no wrong pixel to click at.")
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return Click(int(row), int(column), positive)


def _depth(wrong: NDArray[np.bool_], clicks: Sequence[Click]) -> NDArray[np.float64]:
    """Return the distance of each wrong pixel to the nearest that is not, 0 where a click was."""
    depth: NDArray[np.float64] = distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
    for click in clicks:
        depth[click.row, click.column] = 0
    return depth
