"""Registration of pairs of images that may be near-duplicates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from bus_monai.geometry.box import Box

SQUARE_SIDE_PX = 128
MAX_BLACK = 8 / 255
"""Brightest value of a row or column that is margin: what JPEG leaves of black."""
JPEG_BLOCK_PX = 8
"""Pixels that are cut off beside a margin, since there JPEG mixes margin and image."""
Flip: TypeAlias = Literal["none", "horizontal", "vertical", "both"]
Window: TypeAlias = tuple[float, float, float, float]
"""Top, bottom, left and right, in units of the image's sides."""
THUMBNAIL_SIDE_PX = 16
WINDOW_SPANS = ((0.0, 1.0), (0.0, 0.9), (0.1, 1.0), (0.05, 0.95), (0.1, 0.9))
CANDIDATE_WINDOWS: tuple[Window, ...] = tuple(
    (*rows, *columns) for rows, columns in itertools.product(WINDOW_SPANS, WINDOW_SPANS)
)
FLIP_STEPS: dict[Flip, tuple[int, int]] = {"none": (1, 1), "horizontal": (1, -1), "vertical": (-1, 1), "both": (-1, -1)}
MIN_CORRELATION = 0.75
MAX_CANDIDATES_PER_IMAGE = 5
MAX_FIT_STEPS = 12
MAX_STEP_SHARE = 0.05
CONVERGED_STEP_SHARE = 1e-3
"""Of a side, after which the window stays."""
MIN_WINDOW_SHARE = 0.5
"""Of a window: more than two crops of a tenth per side take away."""
COARSE_SIGMA_PX = 1.5
"""Standard deviation in pixels of the Gaussian before registration, so that it does not stick to speckle."""
FINE_SIGMA_PX = 3.0
"""Standard deviation in pixels of the Gaussian that takes away what all breasts have in common."""
Plane: TypeAlias = NDArray[np.float32]


def to_square(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut black margins off and scale to 128x128, whatever the aspect.

    Args:
        pixels: (H, W) in [0, 1].

    Returns:
        (128, 128) in [0, 1].
    """
    height, width = pixels.shape
    box = content_box(pixels)
    if box.height > 4 * JPEG_BLOCK_PX and box.width > 4 * JPEG_BLOCK_PX:
        box = Box(
            box.top + JPEG_BLOCK_PX * (box.top > 0),
            box.left + JPEG_BLOCK_PX * (box.left > 0),
            box.bottom - JPEG_BLOCK_PX * (box.bottom < height),
            box.right - JPEG_BLOCK_PX * (box.right < width),
        )
    content = Image.fromarray(pixels[box.slices])
    return np.asarray(content.resize((SQUARE_SIDE_PX, SQUARE_SIDE_PX), Image.Resampling.BILINEAR), dtype=np.float32)


def content_box(pixels: NDArray[np.float32]) -> Box:
    """Return the box of what lies within black margins; all if all is black."""
    top, bottom = _span(pixels.max(axis=1) > MAX_BLACK)
    left, right = _span(pixels.max(axis=0) > MAX_BLACK)
    return Box(top, left, bottom, right)


def _span(lit: NDArray[np.bool_]) -> tuple[int, int]:
    where = np.flatnonzero(lit)
    return (int(where[0]), int(where[-1]) + 1) if where.size else (0, lit.size)


def equalize(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace values (..., N) by their ranks along the last axis, with mean 0 and norm 1; equal values share a rank.

    Any growing change of gray values, such as a gamma, leaves the result as it is. A constant gives zeros.
    """
    ranks: NDArray[np.float64] = rankdata(values, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(ranks, axis=-1, keepdims=True)
    return (ranks / np.where(norm > 0, norm, 1)).astype(np.float32)


@dataclass(frozen=True)
class Candidate:
    """Two images of which the first, flipped, may show a window of the second.

    Args:
        first: its index.
        second: its index.
        flip: of the first.
        window: of the second.
        correlation: of the two at 16x16.
    """

    first: int
    second: int
    flip: Flip
    window: Window
    correlation: float


def find_candidates(squares: Sequence[NDArray[np.float32]]) -> Iterator[Candidate]:
    """Yield for each image its most similar windows of other images, at most five, under the likeliest flip.

    Args:
        squares: (128, 128) each, as ``to_square`` makes them.
    """
    if len(squares) < 2:
        return
    cut = np.stack([[_thumbnail(square, window) for square in squares] for window in CANDIDATE_WINDOWS])
    windows = equalize(cut.reshape(len(CANDIDATE_WINDOWS), len(squares), -1))
    whole = windows[0].reshape(-1, THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX)
    flipped = {flip: whole[:, ::y, ::x].reshape(len(squares), -1) for flip, (y, x) in FLIP_STEPS.items()}
    for i in range(len(squares)):
        # (flip, window, image)
        scores = np.stack([windows @ flipped[flip][i] for flip in FLIP_STEPS])
        scores[:, :, i] = -1
        best = scores.max(axis=(0, 1))
        for j in np.argsort(-best)[:MAX_CANDIDATES_PER_IMAGE]:
            if best[j] >= MIN_CORRELATION:
                flip, window = np.unravel_index(scores[:, :, j].argmax(), scores.shape[:2])
                yield Candidate(i, int(j), list(FLIP_STEPS)[flip], CANDIDATE_WINDOWS[window], float(best[j]))


def _thumbnail(square: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    top, bottom, left, right = (edge * len(square) for edge in window)
    return np.asarray(
        Image.fromarray(square).resize(
            (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
        ),
        dtype=np.float32,
    ).ravel()


def to_coarse(square: Plane) -> Plane:
    """Return a square (128, 128) as the registration sees it, (64, 64): equalized and smoothed."""
    smooth = gaussian_filter(equalize(square.ravel()).reshape(square.shape), COARSE_SIGMA_PX)
    return np.asarray(smooth.reshape(SQUARE_SIDE_PX // 2, 2, SQUARE_SIDE_PX // 2, 2).mean(axis=(1, 3)))


def correlate_registered(
    first: Plane, second: Plane, coarse_first: Plane, coarse_second: Plane, *, flip: Flip, window: Window
) -> float:
    """Fit the window of ``second`` that shows ``first``, and correlate the fine structure of the two there.

    The window moves by Gauss-Newton steps on the squared difference of the coarse images, up to gain and offset
    (Baker and Matthews, IJCV 56, 2004, doi 10.1023/B:VISI.0000011205.11775.fd). Before they are compared the brighter
    image gets the gray values of the darker in the order of its own, which undoes a gamma without blowing noise up.

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
    y, x = FLIP_STEPS[flip]
    first, coarse_first = first[::y, ::x], coarse_first[::y, ::x]
    edges = np.asarray(window)
    for _ in range(MAX_FIT_STEPS):
        change = _step(coarse_first, coarse_second, edges)
        edges = edges + change
        if edges[1] - edges[0] < MIN_WINDOW_SHARE or edges[3] - edges[2] < MIN_WINDOW_SHARE:
            return 0.0
        if np.abs(change).max() < CONVERGED_STEP_SHARE:
            break
    warped, inside = _warp(second, edges, SQUARE_SIDE_PX)
    if inside.sum() < SQUARE_SIDE_PX * SQUARE_SIDE_PX / 4:
        return 0.0
    dark, bright = (first, warped) if first[inside].mean() < warped[inside].mean() else (warped, first)
    matched = dark.copy()
    matched[inside] = np.sort(dark[inside])[np.argsort(np.argsort(bright[inside]))]
    return _correlate(_fine(dark)[inside], _fine(matched)[inside])


def _fine(image: Plane) -> Plane:
    return np.asarray(image - gaussian_filter(image, FINE_SIGMA_PX))


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
    return np.asarray(np.clip(solution[:4] / gain, -MAX_STEP_SHARE, MAX_STEP_SHARE))


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
