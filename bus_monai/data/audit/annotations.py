"""Text and caliper marks burnt into an image, by rules on thin bright strokes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import find_objects, label, white_tophat

STROKE = 9
"""Pixels: wider bright regions are tissue."""
TEXT_CONTRAST = 0.4
GLYPH_HEIGHTS = (5, 40)
LEAST_GLYPHS = 4
"""In a line of text."""
MARK_CONTRASTS = (0.3, 0.4)
"""Of marks: the lower sees them on bright tissue, the higher parts them from dotted lines."""
MARK_SIDES = (5, 25)
MARK = 9
LEAST_MATCH = 0.7


@dataclass(frozen=True)
class _Stroke:
    top: int
    bottom: int
    left: int
    right: int
    shape: NDArray[np.bool_]

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


def stroke_contrast(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much brighter than their surroundings thin strokes are.

    Args:
        pixels: (H, W) in [0, 1].

    Returns:
        (H, W) in [0, 1].
    """
    return np.asarray(white_tophat(pixels, size=(STROKE, STROKE)))


def count_text_lines(contrast: NDArray[np.float32]) -> int:
    """Count rows of at least four glyphs of like height, on one baseline and close together.

    Args:
        contrast: of strokes, (H, W) in [0, 1].
    """
    low, high = GLYPH_HEIGHTS
    glyphs = [s for s in _strokes(contrast >= TEXT_CONTRAST) if low <= s.height <= high and s.width <= 1.5 * s.height]
    glyphs.sort(key=lambda stroke: stroke.left)
    lines: list[list[_Stroke]] = []
    for glyph in glyphs:
        line = next((line for line in lines if _continues(line[-1], glyph)), None)
        if line is None:
            lines.append([glyph])
        else:
            line.append(glyph)
    return sum(len(line) >= LEAST_GLYPHS for line in lines)


def count_calipers(contrast: NDArray[np.float32]) -> int:
    """Count marks in the form of + or x, where at least two have the same form and size.

    Args:
        contrast: of strokes, (H, W) in [0, 1].
    """
    return max(_count_marks(_strokes(contrast >= least)) for least in MARK_CONTRASTS)


def _count_marks(strokes: list[_Stroke]) -> int:
    sides: dict[str, list[int]] = {"plus": [], "cross": []}
    low, high = MARK_SIDES
    for stroke in strokes:
        if low <= min(stroke.height, stroke.width) and max(stroke.height, stroke.width) <= high:
            for form, side in sides.items():
                if abs(stroke.height - stroke.width) <= 2 and _match(stroke.shape, form) >= LEAST_MATCH:
                    side.append(stroke.height)
    return sum(len(side) for side in sides.values() if len(side) > 1 and max(side) - min(side) <= 2)


def _strokes(ink: NDArray[np.bool_]) -> list[_Stroke]:
    regions, _ = label(ink, structure=np.ones((3, 3)))
    return [
        _Stroke(rows.start, rows.stop, columns.start, columns.stop, regions[rows, columns] == i)
        for i, (rows, columns) in enumerate(find_objects(regions), start=1)
    ]


def _continues(last: _Stroke, glyph: _Stroke) -> bool:
    return (
        abs(last.bottom - glyph.bottom) <= 0.2 * last.height
        and 0.7 <= glyph.height / last.height <= 1.4
        and -1 <= glyph.left - last.right <= last.height
    )


def _match(shape: NDArray[np.bool_], form: str) -> float:
    """Return the correlation of a stroke with a plus or a cross."""
    drawn = np.asarray(Image.fromarray(shape.astype(np.float32)).resize((MARK, MARK), Image.Resampling.BOX))
    across, along = np.mgrid[:MARK, :MARK] - MARK // 2
    template = (across == 0) | (along == 0) if form == "plus" else np.abs(np.abs(across) - np.abs(along)) < 1
    if drawn.std() == 0:
        return 0.0
    return float(np.corrcoef(drawn.ravel(), template.ravel())[0, 1])
