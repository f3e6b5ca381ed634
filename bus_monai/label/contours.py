"""Outlines of lesions: of the labels of an image, and labels inside outlines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.measure import approximate_polygon, find_contours, grid_points_in_poly
from skimage.segmentation import watershed

from bus_monai.errors import UserError
from bus_monai.geometry.lesion import label_components

OUTLINE_TOLERANCE_PX = 0.3
"""Pixels by which an outline may be straightened. The middle of a pixel is at least sqrt(2) / 4 away from it, so that
filling the polygons gives the labels back."""


class Contour(TypedDict):
    """A closed polygon: number of the lesion, frame from 0, and points [column, row], 0 in the middle of a pixel."""

    label: int
    frame: int
    points: list[list[float]]


def label_contours(labels: Sequence[NDArray[np.integer]], *, tolerance: float = OUTLINE_TOLERANCE_PX) -> list[Contour]:
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
                    corners = approximate_polygon(line, OUTLINE_TOLERANCE_PX)
                points = [[round(float(column), 2), round(float(row), 2)] for row, column in corners[:-1] - 1]
                contours.append({"label": number, "frame": frame, "points": points})
    return contours


def fill_contours(contours: Any, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the labels inside polygons, of lesions in the order of their numbers; one within another is a hole.

    Args:
        contours: a list, each with the keys of :class:`~bus_monai.label.contours.Contour`, from somebody else.
        shape: frames, rows and columns of the image.

    Returns:
        (F, H, W), the number of the lesion, 0 outside.

    Raises:
        UserError: one is no polygon, has another frame, or a number that is not from 1 to 255.
    """
    labels = np.zeros(shape, dtype=np.uint8)
    for (label, frame), outlines in sorted(read_polygons(contours, shape[0]).items(), key=lambda entry: entry[0]):
        labels[frame][_inside(outlines, shape[1:])] = label
    return labels


def read_polygons(contours: Any, frames: int) -> dict[tuple[int, int], list[NDArray[np.float64]]]:
    """Return the polygons (N, 2) of [column, row] by lesion and frame.

    Args:
        contours: from somebody else, see :func:`fill_contours`.
        frames: of the image.

    Raises:
        UserError: as :func:`fill_contours`.
    """
    if not isinstance(contours, Sequence) or isinstance(contours, str):
        raise UserError("'contours' is no list: send one, which may be empty.", key="contours")
    polygons: dict[tuple[int, int], list[NDArray[np.float64]]] = {}
    for place, contour in enumerate(contours, start=1):
        label, frame, points = _polygon(place, contour)
        if not (1 <= label <= 255 and 0 <= frame < frames):
            raise UserError(
                f"Contour {place} is of lesion {label} in frame {frame}: number lesions from 1 to 255, and frames from "
                f"0 to {frames - 1}."
            )
        polygons.setdefault((label, frame), []).append(points)
    return polygons


MAX_COORDINATE = 1_000_000
"""Pixels from the first, beyond which no image goes."""


def _polygon(place: int, contour: Any) -> tuple[int, int, NDArray[np.float64]]:
    try:
        label, frame = int(contour["label"]), int(contour["frame"])
        points = np.array(contour["points"], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"Contour {place} is none: send 'label', 'frame' and 'points' of [column, row] each."
        ) from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not (np.abs(points) <= MAX_COORDINATE).all():
        raise UserError(f"Contour {place} is no polygon: send three points of [column, row] or more.")
    return label, frame, points


def _inside(outlines: Sequence[NDArray[np.float64]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = np.zeros(shape, dtype=np.bool_)
    for points in outlines:
        _flip_inside(inside, points)
    return inside


def _flip_inside(mask: NDArray[np.bool_], points: NDArray[np.float64]) -> None:
    """Flip the pixels of a mask inside a polygon of [column, row]; it takes no memory but that of its own box."""
    low = np.clip(np.floor(points.min(axis=0)), 0, None).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + 1, 0, mask.shape[::-1]).astype(int)
    if (low < high).all():
        (left, top), (right, bottom) = low, high
        box = mask[top:bottom, left:right]
        box ^= grid_points_in_poly(box.shape, (points - low)[:, ::-1])


def interpolate_contours(contours: Any, frames: int, *, tolerance: float = OUTLINE_TOLERANCE_PX) -> list[Contour]:
    """Return the outlines in the frames between those in which a lesion is outlined.

    Shape-based interpolation (Raya and Udupa 1990, doi:10.1109/42.52980): the signed distance from the outline goes
    evenly from one shape to the next, and so does the middle of their boxes, for a lesion that moves.

    Args:
        contours: from somebody else, see :func:`fill_contours`.
        frames: of the image.
        tolerance: pixels by which an outline may be straightened.

    Raises:
        UserError: as :func:`fill_contours`.
    """
    polygons = read_polygons(contours, frames)
    seen: dict[int, list[int]] = {}
    for number, frame in sorted(polygons):
        seen.setdefault(number, []).append(frame)
    found: list[Contour] = []
    for number, outlined in seen.items():
        for first, last in pairwise(outlined):
            between = range(first + 1, last)
            shapes = _shapes_between(polygons[number, first], polygons[number, last], len(between), tolerance)
            for frame, outlines in zip(between, shapes, strict=True):
                found += [{"label": number, "frame": frame, "points": points} for points in outlines]
    return found


def _shapes_between(
    first: Sequence[NDArray[np.float64]], last: Sequence[NDArray[np.float64]], count: int, tolerance: float
) -> Iterator[list[list[list[float]]]]:
    boxes = [(points.min(axis=0), points.max(axis=0)) for points in map(np.concatenate, (first, last))]
    # whole, so that a line of pixels stays one: an outline through their middles has those of both sides inside
    middles = [np.floor((low + high) / 2) for low, high in boxes]
    half = np.ceil(np.max([high - low for low, high in boxes], axis=0) / 2) + 2
    shape = tuple((2 * half[::-1]).astype(int) + 1)
    depths = []
    for outlines, middle in zip((first, last), middles, strict=True):
        inside = _inside([points - middle + half for points in outlines], shape)
        depths.append(distance_transform_edt(inside) - distance_transform_edt(~inside))
    for share in np.arange(1, count + 1) / (count + 1):
        inside = (1 - share) * depths[0] + share * depths[1] > 0
        # whole too: the outline of pixels that is moved by half of one goes through middles, and both sides are inside
        corner = np.floor((1 - share) * middles[0] + share * middles[1] + 0.5) - half
        found = label_contours([inside.astype(np.uint8)], tolerance=tolerance)
        yield [np.round(np.asarray(outline["points"]) + corner, 2).tolist() for outline in found]


def keep_numbers(mask: NDArray[np.bool_], before: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the labels of a changed mask.

    What is new and touches a lesion belongs to the nearest; what touches none gets the next free numbers, the largest
    first.

    Args:
        mask: (H, W), lesion now.
        before: (H, W), the number of the lesion, 0 outside.
    """
    markers = np.where(mask, before, 0).astype(np.int32)
    labels = watershed(np.zeros(mask.shape), markers, mask=mask, connectivity=2) if markers.any() else markers
    components, sizes = label_components(mask & (labels == 0))
    free = (number for number in range(1, 256) if number not in np.unique(before))
    for component, number in zip(range(1, len(sizes) + 1), free, strict=False):
        labels[components == component] = number
    return labels.astype(np.uint8)
