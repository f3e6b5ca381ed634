"""What one click changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from bus_monai.interaction.click import Click
from bus_monai.interaction.find_outline import Guess, find_outline
from bus_monai.interaction.walk_region import walk_region
from bus_monai.lesion import label_components

Correct: TypeAlias = Callable[
    [NDArray[np.floating], NDArray[np.bool_], Click, Sequence[Click], float], NDArray[np.bool_]
]
LESION_RADIUS = 0.1
"""Of a lesion of which nothing is known, as a share of the longer side of the image."""
APART = 1.5
"""A positive click as many such radii away from all lesions is in one of its own."""
LEAST, MOST = 0.05, 3.0
"""Radii to look at, as shares of that."""
PRICE = 0.15
"""Low, since lesions of BUSI differ in size tenfold."""
MIDDLE = 0.5
"""A click this deep in a component, as a share of the depth of its deepest pixel, is in its middle."""


def apply_click(
    image: NDArray[np.floating],
    probability: NDArray[np.floating],
    mask: NDArray[np.bool_],
    click: Click,
    before: Sequence[Click],
    *,
    correct: Correct = walk_region,
) -> NDArray[np.bool_]:
    """Return the mask after one more click.

    A negative click in the middle of a component without a positive click removes it. A positive one far from all
    lesions grows one. Any other corrects an outline: the region that changes is the larger, the further the click is
    from the outline. One that the mask agrees with changes nothing now, but holds its place against later ones.

    Args:
        image: (H, W), grey values in [0, 1].
        probability: (H, W), of lesion, in [0, 1].
        mask: (H, W), lesion so far.
        click: the new one.
        before: the clicks before it, in order.
        correct: from image, mask, click, clicks before and its distance to the outline in pixels to the region (H, W)
            that the click speaks for.
    """
    changed = mask.copy()
    if mask[click.row, click.column] != click.positive:
        changed[_region(image, probability, mask, click, before, correct)] = click.positive
    for one in (*before, click):
        changed[one.row, one.column] = one.positive
    return changed


def _region(
    image: NDArray[np.floating],
    probability: NDArray[np.floating],
    mask: NDArray[np.bool_],
    click: Click,
    before: Sequence[Click],
    correct: Correct,
) -> NDArray[np.bool_]:
    distance = _distance(mask == click.positive, click)
    if not click.positive:
        component = _component(mask, click)
        known = any(one.positive and component[one.row, one.column] for one in before)
        if not known and distance >= MIDDLE * distance_transform_edt(component).max():
            return component
    radius = LESION_RADIUS * max(mask.shape)
    if click.positive and distance > APART * radius:
        guess = Guess(click.row, click.column, radius, radius, LEAST, MOST, PRICE)
        return find_outline(image, probability, guess, before)
    return correct(image, mask, click, before, radius if math.isinf(distance) else distance)


def _component(mask: NDArray[np.bool_], click: Click) -> NDArray[np.bool_]:
    labels, _ = label_components(mask)
    return np.asarray(labels == labels[click.row, click.column])


def _distance(wanted: NDArray[np.bool_], click: Click) -> float:
    """Return how far the nearest pixel of the kind is from a click, in pixels."""
    rows, columns = np.nonzero(wanted)
    return float(np.hypot(rows - click.row, columns - click.column).min(initial=math.inf))
