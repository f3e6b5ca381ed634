"""Contours, straightened ones and their hulls against scikit-image and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import approximate_polygon, find_contours

from bus_monai.geometry.contour import hull, outer_contour, straightened


def outline(seed: int) -> np.ndarray:
    """The closed outline of a blob, in half pixels, which no two points of are equally far from a chord."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:60, :80]
    field = sum(np.hypot(rows - r, columns - c) < s for r, c, s in random.uniform((20, 25, 5), (40, 55, 18), (4, 3)))
    contour = max(find_contours(np.pad(field > 0, 1).astype(float), 0.5), key=len)
    contour[1:-1] += random.uniform(-1e-3, 1e-3, (len(contour) - 2, 2))
    return np.asarray(contour)


@pytest.mark.parametrize("tolerance", [0.3, 0.9, 4.0])
def test_points_are_those_of_scikit_image(tolerance: float) -> None:
    for seed in range(12):
        line = outline(seed)
        np.testing.assert_array_equal(straightened(line, tolerance), approximate_polygon(line, tolerance))


def test_lines_without_an_inside() -> None:
    point = np.array([[2.0, 3.0]])
    np.testing.assert_array_equal(straightened(point, 0.9), point)
    there_and_back = np.array([[0.0, 0], [0, 5], [0, 0]])
    np.testing.assert_array_equal(straightened(there_and_back, 0.9), there_and_back)
    np.testing.assert_array_equal(straightened(there_and_back, 6), there_and_back[[0, 2]])


def test_contours_and_hulls_are_those_of_scikit_image_and_scipy() -> None:
    random = np.random.default_rng(0)
    for smooth in (0, 0, 0.7, 0.7, 2, 2, 4, 4) * 4:
        field = ndimage.gaussian_filter(random.random(random.integers(1, 50, 2)), smooth)
        labels, _ = ndimage.label(field >= np.quantile(field, 0.9 * random.random()), np.ones((3, 3)))
        for number, box in enumerate(ndimage.find_objects(labels)[:3], start=1):
            inside = labels[box] == number
            found = find_contours(np.pad(inside, 1).astype(float), 0.5, fully_connected="high")
            contour = outer_contour(inside)
            np.testing.assert_array_equal(contour, min(found, key=lambda line: line[:, 0].min()))
            corners = contour[ConvexHull(contour).vertices]
            assert set(map(tuple, hull(contour))) == set(map(tuple, corners))
