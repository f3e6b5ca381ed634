"""Plain borders of an image, and thin marks on them. Imports neither torch nor MONAI."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bus_monai.geometry.box import Box

BORDER_TOLERANCE = 6
"""Gray values by which a border's pixels may differ from its color, as they do after JPEG."""
PURE_SHARE, WRITTEN_SHARE = 0.995, 0.9
"""Share of a line's pixels that have the border's color: without and with thin text or a ruler on it."""
MAX_CUT_SHARE = 0.7
"""Share of height or of width that may be cut."""
MAX_MARK_SHARE = 0.04
"""A mark on the border, such as a line of text or a ruler, is thinner than this share of height or width."""


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
    # an axis is seen more clearly when the borders of the other one are gone
    for share in (PURE_SHARE, PURE_SHARE, WRITTEN_SHARE, WRITTEN_SHARE):
        region = _peel(pixels, region, share)
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
    color = int(np.median(lines[0]))
    # mostly the first line tells that there is no border, and the others need not be looked at
    if not _is_plain(lines[:1], color, share)[0]:
        return 0
    plain = _is_plain(lines, color, share)
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


def _is_plain(lines: NDArray[np.uint8], color: int, share: float) -> NDArray[np.bool_]:
    # a color below the lowest value comes out of the subtraction above the highest
    low, high = max(color - BORDER_TOLERANCE, 0), min(color + BORDER_TOLERANCE, 255)
    alike = lines - np.uint8(low) <= high - low
    return np.asarray(count_along(alike, axis=1) >= share * lines.shape[1])


def count_along(mask: NDArray[np.bool_], axis: int) -> NDArray[np.uint32]:
    """Count the pixels of a mask (H, W) along an axis, several times as fast as ``np.count_nonzero`` does."""
    return np.asarray(mask.view(np.uint8).sum(axis=axis, dtype=np.uint32))
