"""How much two images agree once the one is laid upon the other."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bus_monai.data.duplicates.candidates import STEPS, Flip, Window
from bus_monai.data.duplicates.square import SIDE, equalise

MOST_STEPS = 12
LONGEST_STEP = 0.05
SMALL_STEP = 1e-3
"""Of a side, after which the window stays."""
LEAST_SIDE = 0.5
"""Of a window: more than two crops of a tenth a side take away."""
COARSE = 1.5
"""Standard deviation in pixels of the Gaussian before registration, so that it does not stick to speckle."""
FINE = 3.0
"""Standard deviation in pixels of the Gaussian that takes away what all breasts have in common."""

Plane: TypeAlias = NDArray[np.float32]


def to_coarse(square: Plane) -> Plane:
    """Return a square (128, 128) as the registration sees it, (64, 64): equalised and smoothed."""
    smooth = gaussian_filter(equalise(square.ravel()).reshape(square.shape), COARSE)
    return np.asarray(smooth.reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3)))


def correlate_registered(
    first: Plane, second: Plane, coarse_first: Plane, coarse_second: Plane, *, flip: Flip, window: Window
) -> float:
    """Fit the window of ``second`` that shows ``first``, and correlate the fine structure of the two there.

    The window moves by Gauss-Newton steps on the squared difference of the coarse images, up to gain and offset
    (Baker and Matthews, IJCV 56, 2004, doi 10.1023/B:VISI.0000011205.11775.fd). Before they are compared the brighter
    image gets the grey values of the darker in the order of its own, which undoes a gamma without blowing noise up.

    Args:
        first: (128, 128), flipped before anything else.
        second: (128, 128).
        coarse_first: ``to_coarse`` of the first.
        coarse_second: ``to_coarse`` of the second.
        flip: of the first.
        window: of the second, where to begin.

    Returns:
        Correlation in [-1, 1] of what a Gaussian of 3 pixels takes away, over the overlap.
    """
    y, x = STEPS[flip]
    first, coarse_first = first[::y, ::x], coarse_first[::y, ::x]
    edges = np.asarray(window)
    for _ in range(MOST_STEPS):
        change = _step(coarse_first, coarse_second, edges)
        edges = edges + change
        if edges[1] - edges[0] < LEAST_SIDE or edges[3] - edges[2] < LEAST_SIDE:
            return 0.0
        if np.abs(change).max() < SMALL_STEP:
            break
    warped, inside = _warp(second, edges, SIDE)
    if inside.sum() < SIDE * SIDE / 4:
        return 0.0
    dark, bright = (first, warped) if first[inside].mean() < warped[inside].mean() else (warped, first)
    matched = dark.copy()
    matched[inside] = np.sort(dark[inside])[np.argsort(np.argsort(bright[inside]))]
    return _correlate(_fine(dark)[inside], _fine(matched)[inside])


def _fine(image: Plane) -> Plane:
    return np.asarray(image - gaussian_filter(image, FINE))


def _correlate(a: Plane, b: Plane) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0 else 0.0


def _step(fixed: Plane, moving: Plane, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a Gauss-Newton step moves the four edges of the window."""
    side = len(fixed)
    warped, inside = _warp(moving, edges, side)
    dy, dx = np.gradient(warped)
    # what a point shows follows the near edge in proportion to its distance from the far one
    far = ((np.arange(side) + 0.5) / side).astype(np.float32)
    dy, dx = dy * side / (edges[1] - edges[0]), dx * side / (edges[3] - edges[2])
    columns = (dy * (1 - far)[:, None], dy * far[:, None], dx * (1 - far), dx * far, warped, np.ones_like(warped))
    design = np.stack([column[inside] for column in columns], axis=1).astype(np.float64)
    gram = design.T @ design
    # a flat image says nothing about the edges
    gram[np.diag_indices(6)] += 1e-6 * np.trace(gram) / 6 + 1e-12
    solution = np.linalg.solve(gram, design.T @ fixed[inside])
    gain = solution[4] if abs(solution[4]) > 0.2 else 1.0
    return np.asarray(np.clip(solution[:4] / gain, -LONGEST_STEP, LONGEST_STEP))


def _warp(image: Plane, edges: NDArray[np.float64], side: int) -> tuple[Plane, NDArray[np.bool_]]:
    """Sample the window at side x side points; say which of them lie inside the image."""
    rows, rows_inside = _sampling(edges[0], edges[1], len(image), side)
    columns, columns_inside = _sampling(edges[2], edges[3], len(image), side)
    return (rows @ image @ columns.T).astype(np.float32), rows_inside[:, None] & columns_inside


def _sampling(begin: float, end: float, source: int, side: int) -> tuple[Plane, NDArray[np.bool_]]:
    """Return linear interpolation as a matrix (side, source), and which points lie inside."""
    at = (begin + (end - begin) * (np.arange(side) + 0.5) / side) * source - 0.5
    inside = (at >= -0.5) & (at <= source - 0.5)
    at = np.clip(at, 0, source - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(source))).astype(np.float32), inside
