"""What one click changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

from bus_monai.interaction.click import Click, disc
from bus_monai.interaction.grow_lesion import grow_lesion
from bus_monai.interaction.walk_region import walk_region

Grow: TypeAlias = Callable[
    [NDArray[np.floating], NDArray[np.floating], NDArray[np.bool_], Click, Sequence[Click], float], NDArray[np.bool_]
]
LESION_RADIUS = 0.1
"""Of an unknown lesion, as a share of the image's longer side; that of the middle lesion of BUSI."""


def apply_click(
    image: NDArray[np.floating],
    probability: NDArray[np.floating],
    mask: NDArray[np.bool_],
    click: Click,
    others: Sequence[Click],
    *,
    grow: Grow = grow_lesion,
    correct: Grow = walk_region,
) -> NDArray[np.bool_]:
    """Return the mask after one more click.

    A click that the mask agrees with changes nothing.
    """
    changed = mask.copy()
    if mask[click.row, click.column] == click.positive:
        return changed
    expected = LESION_RADIUS * max(mask.shape)
    radius = _distance(mask == click.positive, click)
    component = None if click.positive else _component(mask, click)
    if component is not None and _is_removed(component, click, others, radius):
        region = component
    elif click.positive and radius > FRESH * expected:
        region = grow(image, probability, mask, click, others, expected)
    else:
        region = correct(image, probability, mask, click, others, radius)
    for other in others:
        if other.positive != click.positive:
            apart = math.hypot(other.row - click.row, other.column - click.column)
            region &= ~disc(mask.shape, other, min(0.35 * apart, radius))
    changed[region] = click.positive
    for one in (*others, click):
        changed[one.row, one.column] = one.positive
    return changed


FRESH = 1.5


def _is_removed(component: NDArray[np.bool_], click: Click, others: Sequence[Click], radius: float) -> bool:
    if any(other.positive and component[other.row, other.column] for other in others):
        return False
    return radius >= 0.5 * float(distance_transform_edt(component).max())


def _component(mask: NDArray[np.bool_], click: Click) -> NDArray[np.bool_]:
    labels, _ = label(mask, structure=np.ones((3, 3)))
    return labels == labels[click.row, click.column]


def _distance(wanted: NDArray[np.bool_], click: Click) -> float:
    """Return how far the nearest pixel of the kind is from a click, in pixels."""
    rows, columns = np.nonzero(wanted)
    return float(np.hypot(rows - click.row, columns - click.column).min(initial=math.inf))
