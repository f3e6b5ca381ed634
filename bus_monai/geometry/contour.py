"""The contour of a lesion: traced, straightened, and what is farthest in it."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

# clockwise from the right, rows down: the steps between neighbors, of which every second one crosses a side of a pixel
_STEPS = np.array([[0, 1], [1, 1], [1, 0], [1, -1], [0, -1], [-1, -1], [-1, 0], [-1, 1]])
_NUMBERS = np.zeros((3, 3), np.intp)
_NUMBERS[tuple(_STEPS.T + 1)] = np.arange(8)
_BESIDE = 1 + 0.5 * _STEPS
_SIDES = np.full((64, 4), -1)
"""Of a step to the pixel before, eight times, and one to the next: the sides that are crossed from one to the other."""
for _before in range(8):
    for _next in range(8):
        _turn = [step % 8 for step in range(_before + 1, _before + ((_next - _before - 1) % 8) + 1) if step % 2 == 0]
        _SIDES[8 * _before + _next, : len(_turn)] = _turn


def outer_contour(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the closed outer contour of one component (H, W), (N, 2) rows and columns, half way between pixels.

    It goes through the sides that the pixels of OpenCV's contour have in common with the outside: point for point what
    ``find_contours`` of scikit-image finds at 0.5 in the mask with a border of one pixel, in a tenth of its time.

    Example:
        >>> outer_contour(np.ones((1, 1), bool)).tolist()
        [[1.5, 1.0], [1.0, 0.5], [0.5, 1.0], [1.0, 1.5], [1.5, 1.0]]
    """
    (traced,), _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    pixels = traced[::-1, 0, ::-1]
    if len(pixels) == 1:
        places, sides = np.zeros(4, np.intp), np.array([2, 4, 6, 0])
    else:
        closed = np.concatenate([pixels, pixels[:1]])
        steps = closed[1:] - closed[:-1]
        following = _NUMBERS.take(3 * steps[:, 0] + steps[:, 1] + 4)
        before = np.concatenate([following[-1:], following[:-1]]) ^ 4
        crossed = _SIDES.take(8 * before + following, axis=0)
        is_crossed = crossed >= 0
        places, sides = np.nonzero(is_crossed)[0], crossed[is_crossed]
    points = pixels.take(places, axis=0) + _BESIDE.take(sides, axis=0)
    # begun below the last of its pixels
    start = int((points[:, 0] * 2 * inside.shape[1] + points[:, 1]).argmax())
    return np.concatenate([points[start:], points[: start + 1]])


def hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the convex hull of a contour (N, 2) in halves of pixels."""
    return np.asarray(cv2.convexHull(np.rint(2 * points).astype(np.int32))[:, 0] / 2)


def farthest(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two corners (N, 2) that are farthest from each other, of equal pairs the first in order of rows."""
    places = corners[:, 0] + 1j * corners[:, 1]
    distances = np.abs(places[:, None] - places)
    # a square has two diagonals: rounding must not choose between them
    pairs = corners[np.argwhere(distances >= distances.max() * (1 - 1e-9))]
    start, end = min(pairs.tolist())
    return np.array(start), np.array(end)


FEW = 32
"""Points that are sooner looked at one by one than as arrays."""


def straightened(line: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Leave out points of a line as long as none is farther than a tolerance from what is left.

    The algorithm of Douglas and Peucker 1973 (doi:10.3138/FM57-6770-U75U-7727), as ``approximate_polygon`` of
    scikit-image has it, at a quarter of its time: a product of complex numbers says how far along and how far beside a
    segment a point is.

    Args:
        line: (N, 2) points; a closed line ends where it begins.
        tolerance: in its unit.

    Returns:
        (M, 2), some of the points, both ends among them.

    Example:
        >>> straightened(np.array([[0, 0], [0, 1], [0.2, 2], [0, 3], [3, 3.0]]), 0.5)
        array([[0., 0.],
               [0., 3.],
               [3., 3.]])
    """
    points = line[:, 0] + 1j * line[:, 1]
    rows, columns = line.T.tolist()
    kept = np.zeros(len(points), dtype=bool)
    kept[[0, -1]] = True
    segments = [(0, len(points) - 1)]
    while segments:
        start, end = segments.pop()
        if end - start < 2:
            continue
        found = _farthest_of_few(rows, columns, start, end) if end - start <= FEW else None
        if found is None:
            distances = _distances(points[start + 1 : end] - points[start], points[end] - points[start])
            most = int(distances.argmax())
            found = start + 1 + most, float(distances[most])
        middle, distance = found
        if distance > tolerance:
            kept[middle] = True
            segments += [(middle, end), (start, middle)]
    return line[kept]


def _farthest_of_few(rows: Sequence[float], columns: Sequence[float], start: int, end: int) -> tuple[int, float] | None:
    """Return which point between two is farthest from their segment, and its distance, as :func:`_distances` has it.

    ``None`` where a point lies beyond an end of the segment.
    """
    row, column = rows[start], columns[start]
    down, right = rows[end] - row, columns[end] - column
    square = down**2 + right**2
    length, farthest_one, most = sqrt(square), start, -1.0
    for place in range(start + 1, end):
        y, x = rows[place] - row, columns[place] - column
        if not 0 < y * down + x * right < square:
            return None
        distance = abs(x * down - y * right) / length
        if distance > most:
            farthest_one, most = place, distance
    return farthest_one, most


def _distances(points: NDArray[np.complex128], end: complex) -> NDArray[np.float64]:
    """Return the distances of points from the segment from 0 to ``end``."""
    square = end.real**2 + end.imag**2
    if not square:
        return np.abs(points)
    turned = points * np.conj(end)
    along, distances = turned.real, np.abs(turned.imag) / np.sqrt(square)
    beyond = (along <= 0) | (along >= square)
    if np.count_nonzero(beyond):
        distances[beyond] = np.minimum(np.abs(points[beyond]), np.abs(points[beyond] - end))
    return np.asarray(distances)
