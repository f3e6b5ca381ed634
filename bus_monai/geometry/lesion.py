"""Lesions of a mask: components, their measures, findings, and tracks through the frames of a cine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import atan2, degrees, pi
from typing import Literal, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from bus_monai.geometry.box import Box
from bus_monai.geometry.contour import farthest, hull, outer_contour, straightened

MIN_LESION_MM = 2.0
"""A finding is at least so long across: the smallest of 745 lesions of ACRIN 6666 (Barr et al., Radiology 269, 2013,
doi:10.1148/radiol.13122829: "range, 2-135 mm")."""
MAX_DEPTH_MM = 60.0
"""Depth that an uncalibrated frame shows at most, so that it has a scale to judge specks by. The shortest
lesion of BUSI is 0.057 of its image's height across, this bound 0.033."""
MAX_LESIONS = 20
"""In a frame; a network that finds more has failed on it."""


Regions: TypeAlias = Sequence[tuple[Box, tuple[float, float]]]


@dataclass(frozen=True)
class Findings:
    """The lesions kept of the components of one frame.

    Args:
        labels: (H, W) int32, 0 outside.
        lesions: in the order of their numbers, the largest first.
        specks: how many components were too small.
        surplus: how many were beyond the ``MAX_LESIONS`` largest.
    """

    labels: NDArray[np.int32]
    lesions: list[Lesion]
    specks: int
    surplus: int


def find_findings(
    probability: NDArray[np.float32],
    threshold: float,
    *,
    spacing_mm: tuple[float, float] | None = None,
    regions: Regions = (),
    aspect: float | None = None,
    min_area: float | None = None,
    chance: Callable[[float], float] | None = None,
) -> Findings:
    """Return the largest components of lesion, and how many were left out.

    Args:
        probability: (H, W), in [0, 1].
        threshold: from which probability on a pixel is lesion.
        spacing_mm: of rows and columns.
        regions: parts of the frame with a spacing of their own, see :func:`spacing_at`.
        aspect: height of a pixel by its width, where the spacing is not known.
        min_area: of a lesion, in mm2 where the spacing is known, else in pixels; ``None`` for a disk of
            ``MIN_LESION_MM`` across.
        chance: that a component is a lesion, of its mean probability, which it replaces.
    """

    parts = _Components.of(probability >= threshold)
    sizes, boxes = parts.sizes, parts.boxes
    spacings = [spacing_at(box, spacing_mm, regions) for box in boxes]
    height = probability.shape[0]
    is_large = np.array(
        [
            size * pixel_area(spacing) >= smallest_area(height, spacing, min_area)
            for size, spacing in zip(sizes.tolist(), spacings, strict=True)
        ],
        dtype=bool,
    )
    large = int(np.count_nonzero(is_large))
    kept = np.flatnonzero(is_large)[:MAX_LESIONS]
    labels = parts.labels(kept)
    lesions = [
        _measure(number, labels, boxes[before], spacings[before], aspect, probability)
        for number, before in enumerate(kept.tolist(), start=1)
    ]
    if chance is not None:
        lesions = [replace(lesion, probability=chance(lesion.probability or 0.0)) for lesion in lesions]
    return Findings(labels, lesions, len(sizes) - large, large - len(kept))


def pixel_area(spacing_mm: tuple[float, float] | None) -> float:
    """Return the area of a pixel in mm2, 1 where the spacing is not known."""
    return 1.0 if spacing_mm is None else spacing_mm[0] * spacing_mm[1]


def spacing_at(box: Box, spacing_mm: tuple[float, float] | None, regions: Regions) -> tuple[float, float] | None:
    """Return the spacing in a box: that of the regions which it touches if they agree, else ``None``.

    Args:
        box: around a lesion.
        spacing_mm: where there is no region at all.
        regions: parts of the frame and the spacing of rows and columns there.

    Example:
        >>> halves = [(Box(0, 0, 9, 9), (0.1, 0.1)), (Box(0, 9, 9, 18), (0.2, 0.2))]
        >>> spacing_at(Box(2, 11, 5, 14), None, halves), spacing_at(Box(2, 5, 5, 14), None, halves)
        ((0.2, 0.2), None)
    """
    if not regions:
        return spacing_mm
    touched = {spacing for part, spacing in regions if part.intersection(box).area}
    return touched.pop() if len(touched) == 1 else None


def smallest_area(height: int, spacing_mm: tuple[float, float] | None, min_area: float | None) -> float:
    """Return the area of the smallest finding, in mm2 where the spacing is known, else in pixels.

    Args:
        height: of the frame, in pixels.
        spacing_mm: of rows and columns.
        min_area: what was asked for, or ``None``.
    """
    if min_area is not None:
        return min_area
    across = MIN_LESION_MM if spacing_mm is not None else MIN_LESION_MM * height / MAX_DEPTH_MM
    return pi / 4 * across**2


CONTOUR_TOLERANCE_PX = 0.9
"""Pixels by which a contour may be straightened: steps of pixels make smooth outlines longer by 5 %.

The mean excess over all directions is (8 / pi) (sqrt(2) - 1) = 1.055. Polygons within this tolerance (Douglas and
Peucker 1973, doi:10.3138/FM57-6770-U75U-7727) keep the perimeters of ellipses to 3 %, long half axis 10 pixels or more.
"""


@dataclass(frozen=True)
class Lesion:
    """One lesion of a frame; lengths in ``unit``, area in its square.

    Args:
        number: its value in the labels, from 1.
        area: of its pixels.
        long_axis: greatest Feret diameter, the longest line between two points of the contour.
        short_axis: extent at right angles to the long axis.
        perimeter: of the outer contour.
        depth_width_ratio: extent along the beam (rows) by that along the skin (columns); above 1 is taller than wide.
        orientation_deg: of the long axis against the skin, in (-90, 90], above 0 where the right end lies deeper.
        circularity: 4 pi area / perimeter^2, 1 for a disk.
        row: of the centroid, in pixels, 0 in the middle of the first.
        column: of the centroid, in pixels.
        box: around its pixels.
        probability: that it is a lesion where the model is calibrated, else the mean over its pixels; ``None`` where
            no map was given.
        unit: ``mm``, or ``px`` where the spacing is not known.
    """

    number: int
    area: float
    long_axis: float
    short_axis: float
    perimeter: float
    depth_width_ratio: float
    orientation_deg: float
    circularity: float
    row: float
    column: float
    box: Box
    probability: float | None
    unit: Literal["mm", "px"]


def label_components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number the 8-connected components of a mask (H, W), the largest first.

    Returns:
        (H, W) labels, 0 outside, and the pixels of each component in the order of their numbers.
    """
    parts = _Components.of(mask)
    return parts.labels(np.arange(len(parts.sizes))), parts.sizes


@dataclass(frozen=True)
class _Components:
    """The components of a mask (H, W), the largest first: how many pixels each has, the box around it, and its number
    before in the box around all of them, beyond which most of a mask is empty.
    """

    shape: tuple[int, ...]
    around: Box
    found: NDArray[np.int32]
    numbers: NDArray[np.intp]
    sizes: NDArray[np.int64]
    boxes: list[Box]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> _Components:
        around = Box.from_mask(mask)
        if not around.area:
            return cls(mask.shape, around, np.zeros((0, 0), np.int32), np.zeros(0, np.intp), np.zeros(0, np.int64), [])
        inside = mask[around.slices].view(np.uint8)
        count, found = cv2.connectedComponents(inside, connectivity=8)
        if count == 2:
            # the statistics of the one that there mostly is take five times as long as all the rest
            sizes = np.array([cv2.countNonZero(inside)])
            return cls(mask.shape, around, found, np.array([1]), sizes, [around])
        _, found, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
        lefts, tops, widths, heights, sizes = stats[1:].T
        # of equally large ones that is first whose first pixel is
        first = [int(np.argmax(found[row] == number)) for number, row in enumerate(tops.tolist(), start=1)]
        order = np.lexsort((first, tops, -sizes))
        tops, lefts = around.top + tops, around.left + lefts
        sides = np.stack([tops, lefts, tops + heights, lefts + widths], axis=1)
        boxes = [Box(*corners) for corners in sides[order].tolist()]
        return cls(mask.shape, around, found, order + 1, sizes[order].astype(np.int64), boxes)

    def labels(self, kept: NDArray[np.intp]) -> NDArray[np.int32]:
        """Return labels (H, W), 0 outside, in which some of them have numbers from 1 on."""
        labels = np.zeros(self.shape, np.int32)
        names = np.zeros(len(self.numbers) + 1, np.int32)
        names[self.numbers[kept]] = np.arange(1, len(kept) + 1)
        labels[self.around.slices] = names.take(self.found)
        return labels


def measure_lesions(
    labels: NDArray[np.int32],
    *,
    spacing_mm: tuple[float, float] | None = None,
    regions: Regions = (),
    aspect: float | None = None,
    probability: NDArray[np.floating] | None = None,
) -> list[Lesion]:
    """Return the measures of components in the order of their numbers.

    Args:
        labels: (H, W), each number from 1 one component, 0 outside.
        spacing_mm: of rows and columns.
        regions: parts of the frame with a spacing of their own, see :func:`spacing_at`.
        aspect: height of a pixel by its width, where the spacing is not known: lengths are then in sides of a square
            of the same area.
        probability: (H, W), in [0, 1].
    """
    boxes = [Box.from_mask(labels == number) for number in range(1, int(labels.max(initial=0)) + 1)]
    return [
        _measure(number, labels, box, spacing_at(box, spacing_mm, regions), aspect, probability)
        for number, box in enumerate(boxes, start=1)
    ]


def _measure(
    number: int,
    labels: NDArray[np.int32],
    box: Box,
    spacing_mm: tuple[float, float] | None,
    aspect: float | None,
    probability: NDArray[np.floating] | None,
) -> Lesion:
    inside = labels[box.slices] == number
    spacing = np.array(spacing_mm or ((aspect or 1.0) ** 0.5, (aspect or 1.0) ** -0.5))
    area = float(np.count_nonzero(inside) * spacing.prod())
    stairs = outer_contour(inside)
    contour = stairs * spacing
    straight = straightened(stairs, CONTOUR_TOLERANCE_PX) * spacing
    lines = straight[1:] - straight[:-1]
    perimeter = float(np.sqrt((lines * lines).sum(axis=1)).sum())
    start, end = farthest(hull(stairs) * spacing)
    rows, columns = end - start
    across = contour @ np.array([columns, -rows]) / np.hypot(rows, columns)
    # of ones they are sums, whole numbers to the last digit
    moments = cv2.moments(inside.view(np.uint8))
    row, column = moments["m01"] / moments["m00"], moments["m10"] / moments["m00"]
    return Lesion(
        number=number,
        area=area,
        long_axis=float(np.hypot(rows, columns)),
        short_axis=float(np.ptp(across)),
        perimeter=perimeter,
        depth_width_ratio=float(box.height * spacing[0] / (box.width * spacing[1])),
        orientation_deg=_angle(float(rows), float(columns)),
        circularity=min(1.0, 4 * pi * area / perimeter**2),
        row=float(box.top + row),
        column=float(box.left + column),
        box=box,
        probability=None if probability is None else float(probability[box.slices][inside].mean()),
        unit="px" if spacing_mm is None else "mm",
    )


def _angle(down: float, right: float) -> float:
    """Return the direction of a line in (-90, 90] degrees."""
    angle = degrees(atan2(down, right))
    return angle - 180 if angle > 90 else angle + 180 if angle <= -90 else angle


MAX_GAP_FRAMES = 3
"""Frames that a lesion may be missing and still be the same: a tenth of a second of a usual cine."""


class LesionTracks:
    """Join the components of successive frames that overlap.

    A component joins the track whose last component, at most ``MAX_GAP_FRAMES`` frames missing between, it overlaps
    with the greatest intersection over union; pairs are made greedily, the best first, the nearer frame first among
    equals.

    Example:
        >>> tracks = LesionTracks()
        >>> tracks.add(np.array([[1, 1, 0, 2]]))
        >>> tracks.add(np.array([[0, 2, 2, 0]]))
        >>> tracks.lesions
        [{0: 1, 1: 2}, {0: 2}]
    """

    def __init__(self) -> None:
        self.lesions: list[dict[int, int]] = []
        """For each lesion the number it has in each frame where it is seen, in the order in which they appear; every
        component of every frame is in exactly one of them."""
        self._frames = 0
        self._ends: list[int] = []
        # of the last frames alone, so that a long cine takes no longer a frame than a short one
        self._recent: deque[tuple[int, _Numbered, dict[int, int]]] = deque(maxlen=MAX_GAP_FRAMES + 1)

    def add(self, labels: NDArray[np.integer]) -> None:
        """Add the next frame, (H, W), numbers from 1, 0 outside."""
        frame, current, ends = self._frames, _Numbered.of(labels), self._ends
        pairs = sorted(
            (-iou, frame - earlier, number, before, owners[before])
            for earlier, numbers, owners in self._recent
            if any(ends[track] == earlier for track in owners.values())
            for before, number, iou in _overlaps(numbers, current, labels)
            if ends[owners[before]] == earlier
        )
        joined: dict[int, int] = {}
        for *_, number, _, track in pairs:
            if number not in joined and track not in joined.values():
                joined[number] = track
        for number in np.flatnonzero(current.sizes).tolist():
            if number not in joined:
                joined[number] = len(self.lesions)
                self.lesions.append({})
                ends.append(frame)
            self.lesions[joined[number]][frame] = number
            ends[joined[number]] = frame
        self._recent.append((frame, current, joined))
        self._frames += 1


class _Numbered(NamedTuple):
    """The pixels of the components of a frame: where they lie, whose they are, and how many each has."""

    places: NDArray[np.intp]
    numbers: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.integer]) -> _Numbered:
        places = np.flatnonzero(labels > 0)  # of what is true or not, a third of the time
        numbers = labels.ravel()[places].astype(np.int64)
        return cls(places, numbers, np.bincount(numbers))


def _overlaps(before: _Numbered, after: _Numbered, labels: NDArray[np.integer]) -> Iterator[tuple[int, int, float]]:
    """Yield the numbers of two components that share pixels, and their intersection over union.

    Labels (H, W) are those that ``after`` was made of.
    """
    most = len(after.sizes)
    there = labels.ravel()[before.places]
    shared = there > 0
    counts = np.bincount(before.numbers[shared] * most + there[shared]) if shared.any() else np.zeros(0, np.intp)
    for pair in np.flatnonzero(counts).tolist():
        one, other = divmod(pair, most)
        yield one, other, int(counts[pair]) / float(before.sizes[one] + after.sizes[other] - counts[pair])
