"""Registration of pairs of images that may be near-duplicates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
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
SCORED_AT_ONCE = 16
"""Images: their scores with all windows of 2,000 others take 13 MB."""
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
    turned = np.stack([flipped(whole, flip).reshape(len(squares), -1) for flip in FLIP_STEPS], axis=1)
    for begin in range(0, len(squares), SCORED_AT_ONCE):
        some = turned[begin : begin + SCORED_AT_ONCE]
        # (image, flip, window, other image)
        products = some.reshape(-1, some.shape[-1]) @ windows.reshape(-1, windows.shape[-1]).T
        for i, scores in enumerate(products.reshape(*some.shape[:2], *windows.shape[:2]), start=begin):
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


def flipped(image: Plane, flip: Flip) -> Plane:
    """Return an image (..., H, W) that is flipped."""
    y, x = FLIP_STEPS[flip]
    return image[..., ::y, ::x]


def to_coarse(square: Plane) -> Plane:
    """Return a square (128, 128) as the registration sees it, (64, 64): equalized and smoothed."""
    smooth = _smooth(equalize(square.ravel()).reshape(square.shape), COARSE_SIGMA_PX)
    return np.asarray(smooth.reshape(SQUARE_SIDE_PX // 2, 2, SQUARE_SIDE_PX // 2, 2).mean(axis=(1, 3)))


def fit_windows(first: Plane, second: Plane, windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit the window of each ``second`` that shows its ``first``.

    The windows move by Gauss-Newton steps on the squared difference, up to gain and offset (Baker and Matthews,
    IJCV 56, 2004, doi 10.1023/B:VISI.0000011205.11775.fd).

    Args:
        first: (B, 64, 64), as :func:`to_coarse` makes them, flipped where they are to be.
        second: (B, 64, 64), as :func:`to_coarse` makes them.
        windows: (B, 4), of the second, where to begin, in units of its sides as :data:`Window`.

    Returns:
        (B, 4), the windows.
    """
    windows = np.array(windows, np.float64)
    moving = np.arange(len(windows))
    for _ in range(MAX_FIT_STEPS):
        change = _steps(first[moving], second[moving], windows[moving])
        windows[moving] += change
        moving = moving[(np.abs(change).max(axis=1) >= CONVERGED_STEP_SHARE) & ~_is_small(windows[moving])]
        if not moving.size:
            break
    return windows


def _is_small(windows: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((np.diff(windows)[:, ::2] < MIN_WINDOW_SHARE).any(axis=1))


def correlate_registered(first: Plane, second: Plane, window: NDArray[np.float64]) -> float:
    """Correlate the fine structure of an image, and of the window of another one that shows it.

    Before they are compared the brighter image gets the gray values of the darker in the order of its own, which undoes
    a gamma without blowing noise up.

    Args:
        first: (128, 128), flipped where it is to be.
        second: (128, 128).
        window: (4,), of the second, see :func:`fit_windows`.

    Returns:
        Correlation in [-1, 1] of what a Gaussian of 3 pixels takes away, over the overlap; 0 where there is little.
    """
    if _is_small(window[None])[0]:
        return 0.0
    (warped,), (rows,), (columns,) = _warp(second[None], window[None], SQUARE_SIDE_PX)
    if 4 * rows.sum() * columns.sum() < SQUARE_SIDE_PX * SQUARE_SIDE_PX:
        return 0.0
    inside = np.ix_(rows, columns)
    one, other = first[inside], warped[inside]
    dark, bright = (first, other) if one.mean() < other.mean() else (warped, one)
    matched = dark.copy()
    ranked = np.empty(bright.size, np.float32)
    ranked[np.argsort(bright, axis=None)] = np.sort(dark[inside], axis=None)
    matched[inside] = ranked.reshape(bright.shape)
    return _correlate(_fine(dark)[inside], _fine(matched)[inside])


def _fine(image: Plane) -> Plane:
    return image - _smooth(image, FINE_SIGMA_PX)


def _smooth(image: Plane, sigma: float) -> Plane:
    side = 2 * round(4 * sigma) + 1
    return np.asarray(cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT))


def _correlate(a: Plane, b: Plane) -> float:
    a, b = (a - a.mean()).ravel(), (b - b.mean()).ravel()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0 else 0.0


def _steps(fixed: Plane, moving: Plane, windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a Gauss-Newton step moves the four edges (B, 4) of each window."""
    count, side, _ = fixed.shape
    warped, rows, columns = _warp(moving, windows, side)
    height, width = np.diff(windows)[:, ::2].T.astype(np.float32)[..., None, None]
    # what a point shows follows the near edge in proportion to its distance from the far one
    far = ((np.arange(side) + 0.5) / side).astype(np.float32)
    down, right = np.gradient(warped, axis=(1, 2))
    down, right = down * (side / height), right * (side / width)
    inside = (rows[:, :, None] & columns[:, None, :]).astype(np.float32)
    parts = (down * (1 - far)[:, None], down * far[:, None], right * (1 - far), right * far, warped, 1)
    planes = np.empty((count, len(parts), side, side))
    for number, part in enumerate(parts):
        np.multiply(part, inside, out=planes[:, number])
    design = planes.reshape(count, len(parts), -1)
    gram = design @ design.transpose(0, 2, 1)
    # a flat image says nothing about the edges
    gram += (1e-6 * np.trace(gram, axis1=1, axis2=2)[:, None, None] / len(parts) + 1e-12) * np.eye(len(parts))
    solution = np.linalg.solve(gram, design @ fixed.reshape(count, -1, 1))[..., 0]
    gain = np.where(np.abs(solution[:, 4:5]) > 0.2, solution[:, 4:5], 1)
    return np.asarray(np.clip(solution[:, :4] / gain, -MAX_STEP_SHARE, MAX_STEP_SHARE))


def _warp(images: Plane, windows: NDArray[np.float64], side: int) -> tuple[Plane, NDArray[np.bool_], NDArray[np.bool_]]:
    """Sample each window at side x side points; say which rows and which columns of these lie inside the image."""
    rows, rows_inside = _sampling(windows[:, :2], images.shape[1], side)
    columns, columns_inside = _sampling(windows[:, 2:], images.shape[2], side)
    return np.asarray(rows @ images @ columns.transpose(0, 2, 1), np.float32), rows_inside, columns_inside


def _sampling(spans: NDArray[np.float64], source: int, side: int) -> tuple[Plane, NDArray[np.bool_]]:
    """Return linear interpolation as matrices (B, side, source), and which points lie inside."""
    begin, end = spans[:, :1], spans[:, 1:]
    at = (begin + (end - begin) * (np.arange(side) + 0.5) / side) * source - 0.5
    inside = (at >= -0.5) & (at <= source - 0.5)
    at = np.clip(at, 0, source - 1).astype(np.float32)
    weights = at[:, :, None] - np.arange(source, dtype=np.float32)
    np.abs(weights, out=weights)
    np.subtract(1, weights, out=weights)
    return np.maximum(weights, 0, out=weights), inside
