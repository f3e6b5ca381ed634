"""The cells of a screen that have the texture of ultrasound, and their outline: a rectangle or a fan."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bus_monai.geometry.box import Box, Region

MIN_LINE_SHARE, MIN_OUTER_SHARE = 0.4, 0.6
"""Share of a row's or a column's pixels that change, from which on it belongs to a rectangular image: within its cells
and outside of them, where there may be writing."""
MIN_BOX_SHARE = 0.85
"""Share of its box that an image fills, from which on it is a rectangle."""
MAX_GROUND_SHARE = 0.02
"""Share of a column's pixels that change on plain ground, at most."""
DARK = 12
"""Gray value up to which a plain part is tissue without echoes, on a brighter ground."""
GROUND_CELLS = 4
"""Cells around an image among which its ground is looked for."""
MAX_GAP_PX = 2
"""Columns that echoes may lack in, as below a line that is drawn over the image."""
GROUND_TOLERANCE = 4
MAX_TRIM_SHARE = 0.2
"""Share of the height of a fan by which its columns begin or end within its hull: a curved probe's near side is hollow;
where more is missing, echoes are."""
INSET_PX = 3
"""Rows that are left out at both ends of a column: what differs from the pixel before is there the first of the ground,
and a larger screen is looked at in steps."""
CELL_PX = 8
"""Side of the cells of which the share of changing pixels is taken."""
DENSE_SHARE = 0.6
"""Share of pixels that differ from the one before, along rows and along columns: tissue has more, even where it is
dark, writing less, and color bars none along one of the two."""
FAINT_SHARE, FAINT_NEIGHBORS_SHARE = 0.15, 0.3
"""Shares of a cell, and of three by three, that belong to the image where it goes on from dense ones."""
COARSE_SHARE = 0.5
"""Share that a cell counts with which differs from its neighbors: losses of JPEG make dark tissue a mosaic of plain
blocks."""
MAX_FAINT_RANGE = 100
"""Range of the gray values of a fainter cell: that of writing is larger."""
MIN_SCREEN_SIDE_PX = 160
"""A smaller image shows no screen."""
MIN_IMAGE_SHARE = 0.05
"""Share of the screen that an image has at least; where there is none, the screen is not understood."""
MIN_OTHER_SHARE = 0.3
"""Share of the largest image that another one has at least; smaller ones are pictures of earlier images."""
_AROUND = np.ones((3, 3), np.uint8)
_BITS = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)


def outline_region(cells: NDArray[np.bool_], texture: Texture) -> Region:
    """Return the outline of an image from its cells.

    Args:
        cells: those of one image, see :func:`~bus_monai.transforms.region_outline.image_cells`.
        texture: of the screen.
    """
    cells = _without_holes(cells)
    around = Box.from_mask(cells)
    core = Box(*(CELL_PX * side for side in around.sides))
    ground = _ground(core, texture)
    if np.count_nonzero(cells) < MIN_BOX_SHARE * around.area and not _is_filled(cells, texture, ground):
        fan = _fan(cells, texture)
        if np.count_nonzero(fan.inside()) < MIN_BOX_SHARE * fan.box.area:
            return fan
    return Region(_exact(core, texture, ground))


def _without_holes(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    outside = np.ones((cells.shape[0] + 2, cells.shape[1] + 2), np.uint8)
    outside[1:-1, 1:-1] = ~cells
    _, numbers = cv2.connectedComponents(outside, connectivity=4)
    return np.asarray(numbers[1:-1, 1:-1] != numbers[0, 0])


def _ground(core: Box, texture: Texture) -> int | None:
    """Return the gray value of the plain ground around an image, ``None`` where there is none."""
    around = np.zeros(texture.share.shape, dtype=bool)
    top, left, bottom, right = (side // CELL_PX for side in core.sides)
    around[max(top - GROUND_CELLS, 0) : bottom + GROUND_CELLS, max(left - GROUND_CELLS, 0) : right + GROUND_CELLS] = (
        True
    )
    around[top:bottom, left:right] = False
    plain = around & (texture.share == 0)
    if not plain.any():
        return None
    height, width = (side * CELL_PX for side in plain.shape)
    return int(np.bincount(texture.gray[:height:CELL_PX, :width:CELL_PX][plain]).argmax())


def _exact(core: Box, texture: Texture, ground: int | None) -> Box:
    """Move the sides of a rectangular image to where its rows and columns begin and end."""
    top, left, bottom, right = core.sides
    rows, columns = texture.rows, texture.columns
    if ground is not None and ground > DARK:
        # echoes end in the depth, not at the skin
        dark = texture.gray <= DARK
        dark[:top] = False
        rows, columns = rows | dark, columns | dark
    for _ in range(2):
        shares = count_along(rows[:, left:right], axis=1) / (right - left)
        top, bottom = _span(shares, top, bottom)
        shares = count_along(columns[top:bottom], axis=0) / (bottom - top)
        # nothing in a column, not even skin, parts an image from another, while rows of nothing may be a cyst
        left, right = _longest_run(shares > MAX_GROUND_SHARE, *_span(shares, left, right))
    return Box(top, left, bottom, right)


def _span(shares: NDArray[np.float64], start: int, stop: int) -> tuple[int, int]:
    """Move the ends of a span over the lines that belong to the image, inwards or outwards."""
    within = np.flatnonzero(shares[start:stop] >= MIN_LINE_SHARE)
    if not within.size:
        return start, stop
    start, stop = start + int(within[0]), start + int(within[-1]) + 1
    outside = shares < MIN_OUTER_SHARE
    before, after = outside[:start][::-1], outside[stop:]
    start -= int(before.argmax()) if before.any() else start
    stop += int(after.argmax()) if after.any() else len(shares) - stop
    return start, stop


def _longest_run(inside: NDArray[np.bool_], start: int, stop: int) -> tuple[int, int]:
    """Return the longest part of a span without a gap."""
    if inside[start:stop].all():
        return start, stop
    lines = start + np.flatnonzero(inside[start:stop])
    runs = np.split(lines, np.flatnonzero(np.diff(lines) > MAX_GAP_PX + 1) + 1)
    longest = max(runs, key=len)
    return (int(longest[0]), int(longest[-1]) + 1) if longest.size else (start, stop)


def _is_filled(cells: NDArray[np.bool_], texture: Texture, ground: int | None) -> bool:
    """Tell whether what else is in the box of an image is tissue without echoes rather than ground."""
    if ground is None:
        return True
    box = Box.from_mask(cells)
    height, width = (side * CELL_PX for side in cells.shape)
    values = texture.gray[:height:CELL_PX, :width:CELL_PX][box.slices][~cells[box.slices]].astype(np.int16)
    return bool((np.abs(values - ground) > GROUND_TOLERANCE).mean() >= 0.5)


def _fan(cells: NDArray[np.bool_], texture: Texture) -> Region:
    """Return what a curved probe sees: the convex hull of its cells, without the ground at the ends of its columns."""
    changes = texture.rows | texture.columns
    columns, rows = (CELL_PX * np.flatnonzero(cells.any(axis=axis)) + CELL_PX / 2 for axis in (0, 1))
    outline = np.concatenate(
        [np.stack([columns, row], 1) for row in _edges(cells, changes)]
        + [np.stack([column, rows], 1) for column in _edges(cells.T, changes.T)]
    )
    left, right = int(outline[:, 0].min()), int(np.ceil(outline[:, 0].max()))
    at = np.arange(left, right)
    starts = np.floor(np.interp(at + 0.5, *_hull(outline, 1).T)).astype(int)
    ends = np.ceil(np.interp(at + 0.5, *_hull(outline, -1).T)).astype(int)
    most = round(MAX_TRIM_SHARE * (ends.max() - starts.min()))
    starts += INSET_PX + _plain_length(changes, starts, at, most, 1)
    ends -= INSET_PX + _plain_length(changes, ends - 1, at, most, -1)
    ends = np.maximum(ends, starts)
    box = Box(int(starts.min()), left, int(ends.max()), right)
    return Region(box, tuple(zip(starts.tolist(), ends.tolist(), strict=True)))


def _plain_length(
    changes: NDArray[np.bool_], rows: NDArray[np.int_], columns: NDArray[np.int_], most: int, way: int
) -> NDArray[np.int_]:
    """Return how many pixels of each column, from a row on downwards or upwards, do not change, not more than most."""
    steps = np.arange(most)
    within = np.clip(rows + way * steps[:, None], 0, len(changes) - 1)
    changing = changes[within, columns]
    return np.where(changing.any(axis=0), changing.argmax(axis=0), 0)


def _edges(cells: NDArray[np.bool_], changes: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return of each column of cells that has some where the changes in it begin and end, in pixels."""
    starts, ends = [], []
    for column in np.flatnonzero(cells.any(axis=0)):
        rows = np.flatnonzero(cells[:, column])
        low, high = max(int(rows[0]) - 1, 0) * CELL_PX, (int(rows[-1]) + 2) * CELL_PX
        part = changes[low:high, column * CELL_PX : (column + 1) * CELL_PX]
        starts.append(low + float(np.median(part.argmax(axis=0))))
        ends.append(low + len(part) - float(np.median(part[::-1].argmax(axis=0))))
    return np.array(starts), np.array(ends)


def _hull(points: NDArray[np.float64], sign: int) -> NDArray[np.float64]:
    """Return the corners (x, y), by x, of the convex hull's side of small y, or of large y where ``sign`` is -1."""
    chain: list[NDArray[np.float64]] = []
    for point in points[np.lexsort((sign * points[:, 1], points[:, 0]))]:
        while len(chain) > 1 and sign * _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        if not chain or point[0] > chain[-1][0]:
            chain.append(point)
    return np.array(chain)


def _turn(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


@dataclass(frozen=True)
class Texture:
    """Which pixels and cells of a screen differ from their neighbors.

    Args:
        gray: (H, W).
        rows: (H, W), pixels that differ from the one to the left.
        columns: (H, W), pixels that differ from the one above.
        share: of each cell, the lower of the two shares of such pixels.
    """

    gray: NDArray[np.uint8]
    rows: NDArray[np.bool_]
    columns: NDArray[np.bool_]
    share: NDArray[np.float32]

    @classmethod
    def of(cls, gray: NDArray[np.uint8]) -> Texture:
        """Return the texture of a screen (H, W)."""
        rows, columns = np.zeros(gray.shape, dtype=bool), np.zeros(gray.shape, dtype=bool)
        np.not_equal(gray[:, 1:], gray[:, :-1], out=rows[:, 1:])
        np.not_equal(gray[1:], gray[:-1], out=columns[1:])
        return cls(gray, rows, columns, np.minimum(_cell_shares(rows), _cell_shares(columns)))


def _cell_shares(changes: NDArray[np.bool_]) -> NDArray[np.float32]:
    height, width = (side // CELL_PX for side in changes.shape)
    # eight pixels are one byte, whose bits are counted by a table
    packed = np.packbits(changes[: height * CELL_PX, : width * CELL_PX], axis=1)
    counts = _BITS.take(packed).reshape(height, CELL_PX, width).sum(axis=1, dtype=np.float32)
    return np.asarray(counts / CELL_PX**2, dtype=np.float32)


def _changing_cells(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which cells differ from the one to the left and the one above."""
    height, width = (side // CELL_PX for side in gray.shape)
    middles = gray[CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX][:height, :width]
    changing = np.zeros(middles.shape, dtype=bool)
    changing[1:, 1:] = (middles[1:, 1:] != middles[1:, :-1]) & (middles[1:, 1:] != middles[:-1, 1:])
    return changing


def _cell_ranges(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _cell_extremes(gray, np.maximum) - _cell_extremes(gray, np.minimum)


def _cell_extremes(gray: NDArray[np.uint8], extreme: np.ufunc) -> NDArray[np.uint8]:
    height, width = (side // CELL_PX for side in gray.shape)
    values = gray[: height * CELL_PX, : width * CELL_PX]
    # in pairs, halved until one of a cell is left: a tenth of the time of reducing axes of eight
    while len(values) > height:
        values = extreme(values[::2], values[1::2])
    while values.shape[1] > width:
        values = extreme(values[:, ::2], values[:, 1::2])
    return values


def image_cells(texture: Texture) -> list[NDArray[np.bool_]]:
    """Return the cells of each image, a mask of the cells of the screen for each."""
    share = texture.share
    if min(texture.gray.shape) < MIN_SCREEN_SIDE_PX:
        return []
    dense = _opened(share >= DENSE_SHARE)
    faint = np.maximum(share, COARSE_SHARE * _changing_cells(texture.gray))
    near = cv2.blur(faint, _AROUND.shape, borderType=cv2.BORDER_REPLICATE) >= FAINT_NEIGHBORS_SHARE
    faint = near & (faint > FAINT_SHARE) & (_cell_ranges(texture.gray) <= MAX_FAINT_RANGE)
    cells = _opened(faint | dense) | dense
    count, numbers = cv2.connectedComponents(cells.view(np.uint8), connectivity=4)
    sizes = np.bincount(numbers.ravel(), minlength=count)
    # an image has dense cells, and ground has the number 0
    sizes *= np.bincount(numbers.ravel(), weights=dense.ravel(), minlength=count) > 0
    sizes[0] = 0
    if sizes.max() < MIN_IMAGE_SHARE * share.size:
        return []
    groups: list[NDArray[np.bool_]] = []
    for number in np.flatnonzero(sizes >= MIN_OTHER_SHARE * sizes.max()):
        image = numbers == number
        # what lies above or below is one image with it, parted by a cyst or an implant
        beside = [group for group in groups if not (group.any(axis=0) & image.any(axis=0)).any()]
        for group in groups:
            if not any(group is other for other in beside):
                image |= group
        groups = [*beside, image]
    return groups


def _opened(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # beyond the border there is nothing, which OpenCV else takes for more of the same
    opened = cv2.morphologyEx(
        cells.view(np.uint8), cv2.MORPH_OPEN, _AROUND, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)
    )
    return np.asarray(opened.view(bool))


def count_along(mask: NDArray[np.bool_], axis: int) -> NDArray[np.int32]:
    """Count the pixels of a mask (H, W) along an axis, many times as fast as ``np.count_nonzero`` does."""
    return np.asarray(cv2.reduce(mask.view(np.uint8), axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel())
