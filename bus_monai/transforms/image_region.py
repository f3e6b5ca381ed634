"""Find the ultrasound images on a screen, by texture or by plain borders. Imports neither torch nor MONAI."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bus_monai.geometry.box import Box, Region, box_around, mask_of
from bus_monai.transforms.region_outline import Texture, count_along, image_cells, outline_region

WORKING_SIDE_PX = 600
"""A larger screen is looked at in steps of several pixels, which makes that of its shorter side."""
KEPT_SHARE = 0.98
"""Share of the image without plain borders that a single region has, from which on there is no interface."""

MIN_DECLARED_SHARE = 0.02
"""Share of the screen that each image which a file declares has at least."""
MIN_EXPLAINED_SHARE = 0.7
"""Share of the images found by their texture that declared ones cover, or they belong to another screen."""
SAMPLED_PX = 4
"""Of the pixels around the images so many are looked at in each direction, from frame to frame."""
MAX_SAMPLED_CHANGE = 0.06
MAX_CHANGED_SHARE = 0.02
"""Share of these that change by more than that, as a clock does, while the screen stays the same."""
BORDER_TOLERANCE = 6
"""Gray values by which a border's pixels may differ from its color, as they do after JPEG."""
PURE_SHARE, WRITTEN_SHARE = 0.995, 0.9
"""Share of a line's pixels that have the border's color: without and with thin text or a ruler on it."""
MAX_CUT_SHARE = 0.7
"""Share of height or of width that may be cut."""
MAX_MARK_SHARE = 0.04
"""A mark on the border, such as a line of text or a ruler, is thinner than this share of height or width."""


def find_regions(pixels: NDArray[np.floating] | NDArray[np.uint8], declared: Sequence[Box] = ()) -> tuple[Region, ...]:
    """Find the ultrasound images on a screen, whatever else is on it: one, or several side by side.

    Nearly every pixel of speckle differs from its neighbors, also where it is dark, while writing, rulers and marks are
    sparse strokes on a plain ground, and bars of grays and colors change along one axis alone. So cells in which most
    pixels change along both are seeds, fainter ones beside them the rest. What is far from filling its box is the fan
    of a curved probe, whose outline is kept. Where nothing of this is seen, as in an image without interface, the
    region is the image without its plain borders.

    Args:
        pixels: (H, W), gray values in [0, 1], or the same in 8 bits, where these are all that they are made of.
        declared: the images that the file names; they count where they lie on the
            screen, do not overlap and hold most of what the texture shows, and what lies in each is one image.

    Returns:
        At least one, from left to right.

    Example:
        >>> screen = np.full((240, 320), 0.1)
        >>> screen[40:200, 60:260] = np.random.default_rng(0).random((160, 200))
        >>> screen[8:16, 20:300:4] = 1
        >>> find_regions(screen)
        (Region(box=Box(top=40, left=60, bottom=200, right=260), spans=None),)
    """
    gray = _in_eight_bits(pixels)
    found, seen = _by_texture(gray)
    if declared and _is_plausible(declared, found if seen else (), gray.shape):
        found = [_in_declared(gray, box) for box in declared]
    return tuple(sorted(found, key=lambda region: region.box.sides[1::-1]))


def _in_eight_bits(pixels: NDArray[np.floating] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8))


def _by_texture(gray: NDArray[np.uint8]) -> tuple[list[Region], bool]:
    """Return the images, and whether it is their texture that shows them."""
    peeled = peel_borders(gray)
    step = max(1, round(min(gray.shape) / WORKING_SIDE_PX))
    texture = Texture.of(gray[::step, ::step])
    found = [_scaled(outline_region(cells, texture), step, gray.shape) for cells in image_cells(texture)]
    if not found:
        return [Region(peeled)], False
    only = found[0] if len(found) == 1 and found[0].spans is None else None
    if only is not None and only.box.intersection(peeled).area >= KEPT_SHARE * peeled.area:
        return [Region(peeled)], True
    return [_without_borders(region, gray) for region in found], True


def _is_plausible(declared: Sequence[Box], found: Sequence[Region], size: tuple[int, ...]) -> bool:
    whole = Box.of_image(size)
    if any(box.intersection(whole) != box or box.area < MIN_DECLARED_SHARE * whole.area for box in declared):
        return False
    if any(one.intersection(other).area for one, other in combinations(declared, 2)):
        return False
    shown = mask_of(found, size)
    explained = sum(int(np.count_nonzero(shown[box.slices])) for box in declared)
    return explained >= MIN_EXPLAINED_SHARE * int(np.count_nonzero(shown))


def _in_declared(gray: NDArray[np.uint8], box: Box) -> Region:
    found, _ = _by_texture(np.ascontiguousarray(gray[box.slices]))
    if len(found) == 1:
        return found[0].shifted(box.top, box.left)
    return Region(box_around(found).shifted(box.top, box.left))


def _scaled(region: Region, step: int, size: tuple[int, ...]) -> Region:
    """Return a region that was found in every ``step``-th pixel of a screen."""
    if step == 1:
        return region
    height, width = size
    top, left, bottom, right = (step * side for side in region.box.sides)
    box = Box(top, left, min(bottom, height), min(right, width))
    if region.spans is None:
        return Region(box)
    spans = [(step * first, min(step * end, height)) for first, end in region.spans for _ in range(step)]
    return Region(box, tuple(spans[: box.width]))


def _without_borders(region: Region, gray: NDArray[np.uint8]) -> Region:
    if region.spans is not None:
        return region
    return Region(peel_borders(gray[region.box.slices]).shifted(region.box.top, region.box.left))


class FrameRegions:
    """Find the images in the frames of a cine, and anew only where what surrounds them has changed.

    Example:
        >>> regions = FrameRegions()
        >>> frame = np.full((240, 320), 0.1)
        >>> frame[40:200, 60:260] = np.random.default_rng(0).random((160, 200))
        >>> first = regions(frame)
        >>> frame[40:200, 60:260] = 0
        >>> regions(frame) == first
        True
    """

    def __init__(self) -> None:
        self._regions: tuple[Region, ...] = ()
        self._shape: tuple[int, ...] = ()
        self._around: NDArray[np.bool_] | None = None
        self._before: NDArray[np.floating] | None = None

    def __call__(
        self, pixels: NDArray[np.floating], declared: Sequence[Box] = (), levels: NDArray[np.uint8] | None = None
    ) -> tuple[Region, ...]:
        """Return the images of the next frame, see :func:`find_regions`; ``levels`` are its pixels in 8 bits."""
        sampled = pixels[::SAMPLED_PX, ::SAMPLED_PX]
        if not self._is_same(sampled):
            self._regions = find_regions(pixels if levels is None else levels, declared)
            self._shape, self._around, self._before = pixels.shape, None, sampled.copy()
        return self._regions

    def _is_same(self, sampled: NDArray[np.floating]) -> bool:
        if self._before is None or (self._around is None and self._before.shape != sampled.shape):
            return False
        if self._around is None:  # looked at when there is a next frame
            self._around = ~mask_of(self._regions, self._shape)[::SAMPLED_PX, ::SAMPLED_PX]
            self._before = self._before[self._around]
        # a frame without interface tells nothing of the next one
        if not self._before.size or self._around.shape != sampled.shape:
            return False
        changed = np.abs(sampled[self._around] - self._before) > MAX_SAMPLED_CHANGE
        return bool(changed.mean() <= MAX_CHANGED_SHARE)


def peel_borders(pixels: NDArray[np.uint8]) -> Box:
    """Return the box of an image without borders of one color and the thin text, lines and rulers on them.

    From each side rows or columns are taken away as long as nearly all of their pixels have the color of the
    outermost one, first those of this color alone, then those with thin marks. Of height and of width at most 70 %
    are cut; where it would be more, as on a nearly black frame, the axis stays whole, for then this rule does not
    understand the image.

    Args:
        pixels: (H, W) gray values.

    Example:
        >>> screen = np.zeros((100, 100), np.uint8)
        >>> screen[20:80, 10:] = np.random.default_rng(0).integers(0, 256, (60, 90))
        >>> peel_borders(screen)
        Box(top=20, left=10, bottom=80, right=100)
    """
    region = Box.of_image(pixels.shape)
    # mostly the outermost lines tell that there is no border, and no other needs to be looked at
    if not any(_is_border(line, WRITTEN_SHARE) for line in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])):
        return region
    # an axis is seen more clearly when the borders of the other one are gone
    for share in (PURE_SHARE, WRITTEN_SHARE):
        peeled = _peel(pixels, region, share)
        # where nothing was cut, a second look sees the same
        region = _peel(pixels, peeled, share) if peeled != region else region
    top, left, bottom, right = region.sides
    if region.height < (1 - MAX_CUT_SHARE) * pixels.shape[0]:
        top, bottom = 0, pixels.shape[0]
    if region.width < (1 - MAX_CUT_SHARE) * pixels.shape[1]:
        left, right = 0, pixels.shape[1]
    return Box(top, left, bottom, right)


def _peel(pixels: NDArray[np.uint8], region: Box, share: float) -> Box:
    rows = pixels[:, region.left : region.right]
    top, bottom = _border(rows, share), len(rows) - _border(rows[::-1], share)
    columns = pixels[top:bottom].T
    if columns.size == 0:
        return region
    left, right = _border(columns, share), len(columns) - _border(columns[::-1], share)
    return Box(top, left, bottom, right) if left < right else region


def _border(lines: NDArray[np.uint8], share: float) -> int:
    """Return how many of the first lines are border."""
    if not _is_border(lines[0], share):
        return 0
    plain = _is_plain(lines, _median(lines[0]), share)
    if share == PURE_SHARE:
        return int(np.argmin(plain)) if not plain.all() else len(plain)
    # border goes on behind a mark when more of it follows than the mark is thick
    thickest = max(2, round(MAX_MARK_SHARE * len(lines)))
    edges = np.flatnonzero(np.diff(plain, append=not plain[-1])) + 1
    end = int(edges[0])
    for marked, follows in zip(edges[1::2], edges[2::2], strict=False):
        if marked - end > thickest:
            break
        if follows - marked > marked - end:
            end = int(follows)
    return end


def _is_border(line: NDArray[np.uint8], share: float) -> bool:
    """Tell whether nearly all pixels of the outermost line have its color."""
    return bool(np.count_nonzero(_alike(line, _median(line))) >= share * len(line))


def _median(values: NDArray[np.uint8]) -> int:
    """Return the median, rounded down, at a tenth of the time of ``np.median``."""
    ordered = np.sort(values)
    return (int(ordered[(len(values) - 1) // 2]) + int(ordered[len(values) // 2])) // 2


def _is_plain(lines: NDArray[np.uint8], color: int, share: float) -> NDArray[np.bool_]:
    return np.asarray(count_along(_alike(lines, color), axis=1) >= share * lines.shape[1])


def _alike(values: NDArray[np.uint8], color: int) -> NDArray[np.bool_]:
    # a color below the lowest value comes out of the subtraction above the highest
    low, high = max(color - BORDER_TOLERANCE, 0), min(color + BORDER_TOLERANCE, 255)
    return np.asarray(values - np.uint8(low) <= high - low)
