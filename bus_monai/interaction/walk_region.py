"""What belongs to a click, by a random walk on the image."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.segmentation import random_walker
from skimage.transform import resize

from bus_monai.interaction.click import Click, disc

REACH = 2.2
"""The walk ends this many times as far from the click as the outline."""
CORE = 0.7
"""Share of the distance to the outline within which all is surely the click's."""
AWAY = 0.35
"""Share of the distance to a click of the other kind that is surely the other's."""
BETA = 300
"""How much a step in grey hinders the walk."""
SIDE = 96
"""Pixels of a side at most on which the walk is solved, so that it takes a few hundredths of a second."""


def walk_region(
    image: NDArray[np.floating],
    mask: NDArray[np.bool_],
    click: Click,
    before: Sequence[Click],
    distance: float,
) -> NDArray[np.bool_]:
    """Return the region of a click by random walks (Grady 2006, doi 10.1109/TPAMI.2006.233).

    A walker who sets out from a pixel of the region comes to the click before it comes to a click of the other kind or
    to the edge of the reach.

    Args:
        image: (H, W), grey values in [0, 1].
        mask: (H, W), what is lesion so far.
        click: whose region it is.
        before: the clicks before it.
        distance: of the click to the outline, in pixels.

    Returns:
        (H, W), true in the region.
    """
    reach = math.ceil(REACH * distance) + 2
    top, left = max(click.row - reach, 0), max(click.column - reach, 0)
    window = np.s_[top : click.row + reach + 1, left : click.column + reach + 1]
    rows, columns = mask[window].shape
    near = disc(mask.shape, click, REACH * distance)
    step = math.ceil(max(rows, columns) / SIDE)
    seeds = np.zeros(mask.shape, dtype=np.int32)
    seeds[~near] = np.where(mask[~near] == click.positive, 1, 2)
    for other in before:
        same = other.positive == click.positive
        apart = math.hypot(other.row - click.row, other.column - click.column)
        seeds[disc(mask.shape, other, max(2, step, 0 if same else AWAY * apart)) & near] = 1 if same else 2
    core = disc(mask.shape, click, max(1.5, step, CORE * distance))
    seeds[core & (seeds != 2) | disc(mask.shape, click, step)] = 1
    small = seeds[window][::step, ::step]
    region = np.zeros_like(mask)
    if not (small == 2).any():
        region[window] = near[window]
        return region
    grey = gaussian_filter(image[window], max(1.0, step), mode="nearest")[::step, ::step]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        own = random_walker(grey, small, beta=BETA, mode="cg_j", tol=1e-2, return_full_prob=True)[0]
    region[window] = (resize(own.astype(float), (rows, columns), order=1, mode="edge") >= 0.5) & near[window]
    return region
