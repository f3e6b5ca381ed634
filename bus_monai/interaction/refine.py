"""A segmentation refined by clicks and a box."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates
from skimage.segmentation import random_walker

from bus_monai.errors import UserError
from bus_monai.geometry.box import Box
from bus_monai.geometry.lesion import label_components
from bus_monai.interaction.outline import Click, Guess, disk, fill_box, find_outline

WALK_REACH = 2.2
"""The walk ends this many times as far from the click as the outline."""
SURE_SHARE = 0.7
"""Share of the distance to the outline within which all is surely the click's."""
OTHER_CLICK_SHARE = 0.35
"""Share of the distance to a click of the other kind that is surely the other's."""
WALK_BETA = 300
"""Weight of differences in gray between pixels of the random walk."""
MAX_GRID_SIDE_PX = 96
"""Pixels of a side at most on which the walk is solved, so that it takes a few hundredths of a second."""

OWN_SEED, OTHER_SEED = 1, 2


def walk_region(
    image: NDArray[np.floating],
    mask: NDArray[np.bool_],
    click: Click,
    before: Sequence[Click],
    distance: float,
) -> NDArray[np.bool_]:
    """Return the region of a click by random walks (Grady 2006, doi 10.1109/TPAMI.2006.233).

    A walker from a pixel of the region comes to the core around the click, or to a click of its kind, sooner than to a
    click of the other kind or, at the edge of the reach, to pixels of the other kind; steps in gray hinder it.

    Args:
        image: (H, W), gray values in [0, 1].
        mask: (H, W), what is lesion so far.
        click: whose region it is.
        before: the clicks before it.
        distance: of the click to the outline, in pixels.

    Returns:
        (H, W), true in the region.
    """
    reach = math.ceil(WALK_REACH * distance) + 2
    around = Box(click.row - reach, click.column - reach, click.row + reach + 1, click.column + reach + 1)
    window = around.intersection(Box.of_image(mask.shape)).slices
    size = mask[window].shape
    step = math.ceil(max(size) / MAX_GRID_SIDE_PX)
    near = disk(mask.shape, click, WALK_REACH * distance)
    seeds = np.where(near, 0, np.where(mask == click.positive, OWN_SEED, OTHER_SEED))
    for one in before:
        same = one.positive == click.positive
        apart = math.hypot(one.row - click.row, one.column - click.column)
        # never smaller than a step, between the pixels of which it might get lost
        seeds[near & disk(mask.shape, one, max(2, step, 0 if same else OTHER_CLICK_SHARE * apart))] = (
            OWN_SEED if same else OTHER_SEED
        )
    core = disk(mask.shape, click, max(1.5, SURE_SHARE * distance)) & (seeds != OTHER_SEED)
    seeds[core | disk(mask.shape, click, step)] = OWN_SEED
    region = np.zeros_like(mask)
    small = seeds[window][::step, ::step]
    if not (small == OTHER_SEED).any():
        region[window] = near[window]
        return region
    gray = gaussian_filter(image[window], step, mode="nearest")[::step, ::step]
    with warnings.catch_warnings():
        # the solver stops early, with probabilities a little outside [0, 1], since only the outline is wanted
        warnings.simplefilter("ignore", UserWarning)
        own = random_walker(gray, small, beta=WALK_BETA, mode="cg_j", tol=1e-2, return_full_prob=True)[0]
    places = np.meshgrid(np.arange(size[0]) / step, np.arange(size[1]) / step, indexing="ij")
    region[window] = (map_coordinates(own, places, output=float, order=1, mode="nearest") >= 0.5) & near[window]
    return region


Correct: TypeAlias = Callable[
    [NDArray[np.floating], NDArray[np.bool_], Click, Sequence[Click], float], NDArray[np.bool_]
]
DEFAULT_RADIUS_SHARE = 0.1
"""Of a lesion of which nothing is known, as a share of the longer side of the image."""
NEW_LESION_RADII = 1.5
"""A positive click as many such radii away from all lesions is in one of its own."""
MIN_GROWTH, MAX_GROWTH = 0.05, 3.0
"""Radii to look at, as shares of that."""
SIZE_PRICE = 0.15
"""Low, since lesions of BUSI differ in size tenfold."""
MIDDLE_DEPTH_SHARE = 0.5
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
        image: (H, W), gray values in [0, 1].
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
        if not known and distance >= MIDDLE_DEPTH_SHARE * distance_transform_edt(component).max():
            return component
    radius = DEFAULT_RADIUS_SHARE * max(mask.shape)
    if click.positive and distance > NEW_LESION_RADII * radius:
        guess = Guess(click.row, click.column, radius, radius, MIN_GROWTH, MAX_GROWTH, SIZE_PRICE)
        return find_outline(image, probability, guess, before)
    return correct(image, mask, click, before, radius if math.isinf(distance) else distance)


def _component(mask: NDArray[np.bool_], click: Click) -> NDArray[np.bool_]:
    labels, _ = label_components(mask)
    return np.asarray(labels == labels[click.row, click.column])


def _distance(wanted: NDArray[np.bool_], click: Click) -> float:
    """Return how far the nearest pixel of the kind is from a click, in pixels."""
    rows, columns = np.nonzero(wanted)
    return float(np.hypot(rows - click.row, columns - click.column).min(initial=math.inf))


def refine(
    image: NDArray[np.floating],
    probability_or_mask: NDArray[np.floating] | NDArray[np.bool_],
    clicks: Sequence[Click],
    box: Box | None = None,
) -> NDArray[np.bool_]:
    """Return the mask that an annotator asks for.

    A box is filled first, then the clicks count in their order, see
    :func:`~bus_monai.interaction.outline.fill_box` and :func:`~bus_monai.interaction.refine.apply_click`. Every
    pixel clicked at is as the last click there says; the same arguments always give the same mask. To go on, call it
    again with the same mask and one click more; to undo, with one less.

    Args:
        image: (H, W), gray values in [0, 1].
        probability_or_mask: (H, W), of lesion, in [0, 1], lesion from one half on; all zeros to begin from nothing.
        clicks: in the order they were made.
        box: around one lesion, inside the image.

    Returns:
        bool (H, W), the lesions.

    Raises:
        UserError: mask and image differ in size, a click lies outside, or the box has no area or lies outside.

    Example:
        >>> image = np.full((64, 64), 0.6)
        >>> image[20:40, 25:45] = 0.1
        >>> lesion = refine(image, np.zeros_like(image), [Click(30, 35)])
        >>> bool(lesion[30, 35]), bool(lesion[5, 5]), 300 < int(lesion.sum()) <= 400
        (True, False, True)
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
    if not box.area:
        raise UserError(
            f"The box {box.xyxy} has no area: give left, top, right and bottom with left < right, top < bottom."
        )
    if box.intersection(Box.of_image(image.shape)) != box:
        raise UserError(f"The box {box.xyxy} leaves the image of {_size(image)} pixels: give one inside it.")


def _size(pixels: NDArray[Any]) -> str:
    return " x ".join(str(side) for side in pixels.shape)
