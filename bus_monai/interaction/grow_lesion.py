"""A lesion from one click in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from bus_monai.interaction.click import Click

ANGLES, RADII = 72, 56
LEAST_RADIUS = 2.0
REACH = 3.0
"""The outline is sought up to this many times the expected radius."""
WIDTH = 5
"""Steps along a ray over which inside and outside are compared; 5 are about a third of the radius."""
UNEXPECTED = 0.15
"""Price of a radius e times the expected one, or a part, in standard deviations of grey."""
BEND = 0.05
"""Price of a step of the outline outwards or inwards."""
AWAY = 10.0
"""Price of an outline that holds a click of the other kind."""


def grow_lesion(
    image: NDArray[np.floating],
    probability: NDArray[np.floating],
    mask: NDArray[np.bool_],
    click: Click,
    others: Sequence[Click],
    radius: float,
) -> NDArray[np.bool_]:
    """Return the lesion around a click: the closed outline over which grey rises most, by dynamic programming.

    On rays from the click, in logarithmic steps, an outline passes each ray once; the best one of all is found
    (Timp and Karssemeijer 2004, doi 10.1118/1.1688039, did so for masses).

    Args:
        image: (H, W), grey values in [0, 1]; lesions are darker than what is around them.
        probability: (H, W), of lesion, in [0, 1].
        mask: (H, W), what is lesion so far.
        click: in the lesion, best in its middle.
        others: the clicks before.
        radius: of the lesion as it is expected, in pixels.

    Returns:
        (H, W), true in the lesion.
    """
    radii = np.geomspace(LEAST_RADIUS, max(REACH * radius, 2 * LEAST_RADIUS), RADII)
    angles = np.arange(ANGLES) * (2 * math.pi / ANGLES)
    rows, columns = click.row + np.outer(np.sin(angles), radii), click.column + np.outer(np.cos(angles), radii)
    grey = map_coordinates(gaussian_filter(image, 1.0), [rows, columns], order=1, mode="nearest")
    grey = gaussian_filter(grey, (1.0, 0.5), mode=("wrap", "nearest"))
    price = UNEXPECTED * np.abs(np.log(radii / radius)) - _contrast(grey) / max(float(image.std()), 1e-6)
    beyond = (rows < 0) | (columns < 0) | (rows > image.shape[0] - 1) | (columns > image.shape[1] - 1)
    # an outline may leave the image, where nothing speaks for it or against it
    price[beyond] = np.minimum(price[beyond], 0.2)
    for other in others:
        if not other.positive:
            apart = math.hypot(other.row - click.row, other.column - click.column)
            angle = math.atan2(other.row - click.row, other.column - click.column)
            turned = np.abs((angles - angle + math.pi) % (2 * math.pi) - math.pi)
            price[np.ix_(turned <= math.atan2(3, apart), radii >= apart - 3)] += AWAY
    outline = radii[_cheapest_round(price)]
    down, right = np.ogrid[: image.shape[0], : image.shape[1]]
    down, right = down - click.row, right - click.column
    ray = np.arctan2(down, right) % (2 * math.pi)
    return np.hypot(down, right) <= np.interp(ray, np.append(angles, 2 * math.pi), np.append(outline, outline[0]))


def _contrast(grey: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return, for each step of each ray, how much brighter it is behind it than up to it."""
    sums = np.cumsum(np.pad(grey, ((0, 0), (1, 0))), axis=1)
    here = np.arange(1, RADII + 1)
    inner, outer = np.maximum(here - WIDTH, 0), np.minimum(here + WIDTH, RADII)
    inside = (sums[:, here] - sums[:, inner]) / (here - inner)
    outside = (sums[:, outer] - sums[:, here]) / np.maximum(outer - here, 1)
    contrast = outside - inside
    contrast[:, -1] = 0
    return contrast


def _cheapest_round(price: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the step on each ray of the cheapest outline that moves by at most one step between rays."""
    # the middle one of three rounds closes nearly always
    rounds = np.concatenate([price] * 3)
    total, came = rounds[0], np.zeros(rounds.shape, dtype=np.intp)
    steps = np.arange(RADII)
    for ray in range(1, len(rounds)):
        padded = np.pad(total, 1, constant_values=np.inf)
        ways = np.stack([padded[:-2] + BEND, padded[1:-1], padded[2:] + BEND])
        best = ways.argmin(axis=0)
        came[ray], total = steps + best - 1, rounds[ray] + ways[best, steps]
    path = [int(total.argmin())]
    for back in came[:0:-1]:
        path.append(int(back[path[-1]]))
    return np.array(path[::-1])[ANGLES : 2 * ANGLES]
