"""Where a screen has the texture of ultrasound: cells of pixels of which nearly all differ from their neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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
_AROUND = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Texture:
    """What changes where.

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
        """Return that of a screen (H, W)."""
        rows, columns = np.zeros(gray.shape, dtype=bool), np.zeros(gray.shape, dtype=bool)
        np.not_equal(gray[:, 1:], gray[:, :-1], out=rows[:, 1:])
        np.not_equal(gray[1:], gray[:-1], out=columns[1:])
        return cls(gray, rows, columns, np.minimum(_cell_shares(rows), _cell_shares(columns)))


_BITS = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)


def _cell_shares(changes: NDArray[np.bool_]) -> NDArray[np.float32]:
    height, width = (side // CELL_PX for side in changes.shape)
    # eight pixels are one byte, whose bits are counted by a table
    packed = np.packbits(changes[: height * CELL_PX, : width * CELL_PX], axis=1)
    counts = _BITS[packed].reshape(height, CELL_PX, width).sum(axis=1, dtype=np.float32)
    return np.asarray(counts / CELL_PX**2, dtype=np.float32)


def _changing_cells(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which cells differ from the one to the left and the one above."""
    height, width = (side // CELL_PX for side in gray.shape)
    middles = gray[CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX][:height, :width]
    changing = np.zeros(middles.shape, dtype=bool)
    changing[1:, 1:] = (middles[1:, 1:] != middles[1:, :-1]) & (middles[1:, 1:] != middles[:-1, 1:])
    return changing


def _cell_ranges(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (side // CELL_PX for side in gray.shape)
    lines = gray[: height * CELL_PX, : width * CELL_PX].reshape(height, CELL_PX, -1)
    high, low = (extreme.reshape(height, width, CELL_PX) for extreme in (lines.max(axis=1), lines.min(axis=1)))
    return np.asarray(high.max(axis=2) - low.min(axis=2), dtype=np.uint8)


def image_cells(texture: Texture) -> list[NDArray[np.bool_]]:
    """Return the cells of each image, a mask of the cells of the screen for each."""
    share = texture.share
    if min(texture.gray.shape) < MIN_SCREEN_SIDE_PX:
        return []
    dense = ndimage.binary_opening(share >= DENSE_SHARE, _AROUND)
    faint = np.maximum(share, COARSE_SHARE * _changing_cells(texture.gray))
    near = ndimage.uniform_filter(faint, 3, mode="nearest") >= FAINT_NEIGHBORS_SHARE
    faint = near & (faint > FAINT_SHARE) & (_cell_ranges(texture.gray) <= MAX_FAINT_RANGE)
    cells = ndimage.binary_opening(faint | dense, _AROUND) | dense
    numbers, count = ndimage.label(cells)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    # an image has dense cells, and ground has the number 0
    sizes *= np.bincount(numbers.ravel(), weights=dense.ravel(), minlength=count + 1) > 0
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
