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

OWN, OTHER = 1, 2


def walk_region(
    image: NDArray[np.floating],
    mask: NDArray[np.bool_],
    click: Click,
    before: Sequence[Click],
    distance: float,
) -> NDArray[np.bool_]:
    """Return the region of a click by random walks (Grady 2006, doi 10.1109/TPAMI.2006.233).

    A walker from a pixel of the region comes to the core around the click, or to a click of its kind, sooner than to a
    click of the other kind or, at the edge of the reach, to pixels of the other kind; steps in grey hinder it.

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
    window = np.s_[
        max(click.row - reach, 0) : click.row + reach + 1, max(click.column - reach, 0) : click.column + reach + 1
    ]
    size = mask[window].shape
    step = math.ceil(max(size) / SIDE)
    near = disc(mask.shape, click, REACH * distance)
    seeds = np.where(near, 0, np.where(mask == click.positive, OWN, OTHER))
    for one in before:
        same = one.positive == click.positive
        apart = math.hypot(one.row - click.row, one.column - click.column)
        # never smaller than a step, between the pixels of which it might get lost
        seeds[near & disc(mask.shape, one, max(2, step, 0 if same else AWAY * apart))] = OWN if same else OTHER
    core = disc(mask.shape, click, max(1.5, CORE * distance)) & (seeds != OTHER)
    seeds[core | disc(mask.shape, click, step)] = OWN
    region = np.zeros_like(mask)
    small = seeds[window][::step, ::step]
    if not (small == OTHER).any():
        region[window] = near[window]
        return region
    grey = gaussian_filter(image[window], step, mode="nearest")[::step, ::step]
    with warnings.catch_warnings():
        # the solver stops early, with probabilities a little outside [0, 1], since only the outline is wanted
        warnings.simplefilter("ignore", UserWarning)
        own = random_walker(grey, small, beta=BETA, mode="cg_j", tol=1e-2, return_full_prob=True)[0]
    region[window] = (resize(own.astype(float), size, order=1, mode="edge") >= 0.5) & near[window]
    return region
