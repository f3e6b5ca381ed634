"""Labels as polygons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours

TOLERANCE = 0.3
"""Pixels by which an outline may be straightened. The middle of a pixel is at least sqrt(2) / 4 away from it, so that
filling the polygons gives the labels back."""


class Contour(TypedDict):
    """A closed polygon: number of the lesion, frame from 0, and points [column, row], 0 in the middle of a pixel."""

    label: int
    frame: int
    points: list[list[float]]


def label_contours(labels: Sequence[NDArray[np.integer]], *, tolerance: float = TOLERANCE) -> list[Contour]:
    """Return the outlines of lesions and of their holes, one or more a lesion and frame.

    Args:
        labels: (H, W) a frame, the number of the lesion, 0 outside.
        tolerance: pixels by which an outline may be straightened, where a polygon is left of it.
    """
    contours: list[Contour] = []
    for frame, values in enumerate(labels):
        for number in (int(n) for n in np.unique(values) if n):
            for line in find_contours(np.pad(values == number, 1).astype(np.float64), 0.5, fully_connected="high"):
                corners = approximate_polygon(line, tolerance)
                if len(corners) < 4:
                    corners = approximate_polygon(line, TOLERANCE)
                points = [[round(float(column), 2), round(float(row), 2)] for row, column in corners[:-1] - 1]
                contours.append({"label": number, "frame": frame, "points": points})
    return contours
