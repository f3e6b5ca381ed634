"""Find margins, color, text and calipers in images, and faults of their masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import find_objects, label, white_tophat

from bus_monai.data.audit.listing import Finding, ListedImage
from bus_monai.data.registration import content_box
from bus_monai.errors import UserError
from bus_monai.geometry.box import Box
from bus_monai.geometry.lesion import label_components
from bus_monai.io.image import read_mask_values
from bus_monai.io.mask_content import MaskContentError, lesion_of
from bus_monai.io.opened import source_kind

MAX_STROKE_PX = 9
"""Pixels: wider bright regions are tissue."""
TEXT_CONTRASTS = (0.2, 0.25, 0.3, 0.4)
"""Of letters: the lower see gray ones, the higher part them from bright tissue."""
GLYPH_HEIGHTS_PX = (5, 40)
MAX_GLYPH_GAP = 1.5
"""Between letters, and words, in heights."""
MIN_GLYPHS = 4
"""In a line of text."""
CALIPER_CONTRASTS = (0.3, 0.4)
"""Of marks: the lower sees them on bright tissue, the higher parts them from dotted lines."""
CALIPER_SIDES_PX = (5, 25)
CALIPER_PX = 9
MIN_CALIPER_CORRELATION = 0.7
MIN_MARGIN_SHARE = 0.02
"""Of a side, from which on a black margin is a letterbox."""
MIN_CHROMA = 64
"""Range of red, green and blue of a saturated pixel."""
MIN_COLORED_SHARE = 0.001
"""Share of saturated pixels from which on an image is colored."""
MIN_LESION_SHARE = 0.001
"""Of the image, below which a lesion is tiny."""


@dataclass(frozen=True)
class _Stroke:
    box: Box
    shape: NDArray[np.bool_]


def stroke_contrast(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much brighter than their surroundings thin strokes are.

    Args:
        pixels: (H, W) in [0, 1].

    Returns:
        (H, W) in [0, 1].
    """
    return np.asarray(white_tophat(pixels, size=(MAX_STROKE_PX, MAX_STROKE_PX)))


def count_text_lines(contrast: NDArray[np.float32]) -> int:
    """Count rows of at least four glyphs of like height, on one baseline and close together.

    Args:
        contrast: of strokes, (H, W) in [0, 1].
    """
    return max(_count_lines(_strokes(contrast >= least)) for least in TEXT_CONTRASTS)


def _count_lines(strokes: list[_Stroke]) -> int:
    low, high = GLYPH_HEIGHTS_PX
    glyphs = [s for s in strokes if low <= s.box.height <= high and s.box.width <= 1.5 * s.box.height]
    glyphs.sort(key=lambda stroke: stroke.box.left)
    lines: list[list[_Stroke]] = []
    for glyph in glyphs:
        line = next((line for line in lines if _continues(line[-1], glyph)), None)
        if line is None:
            lines.append([glyph])
        else:
            line.append(glyph)
    return sum(len(line) >= MIN_GLYPHS for line in lines)


def count_calipers(contrast: NDArray[np.float32]) -> int:
    """Count marks in the form of + or x, where at least two have the same form and size.

    Args:
        contrast: of strokes, (H, W) in [0, 1].
    """
    return max(_count_marks(_strokes(contrast >= least)) for least in CALIPER_CONTRASTS)


def _count_marks(strokes: list[_Stroke]) -> int:
    sides: dict[str, list[int]] = {"plus": [], "cross": []}
    low, high = CALIPER_SIDES_PX
    for stroke in strokes:
        height, width = stroke.box.height, stroke.box.width
        if low <= min(height, width) and max(height, width) <= high and abs(height - width) <= 2:
            for form, side in sides.items():
                if _match(stroke.shape, form) >= MIN_CALIPER_CORRELATION:
                    side.append(height)
    return sum(len(side) for side in sides.values() if len(side) > 1 and max(side) - min(side) <= 2)


def _strokes(ink: NDArray[np.bool_]) -> list[_Stroke]:
    regions, _ = label(ink, structure=np.ones((3, 3)))
    return [
        _Stroke(Box.from_slices(slices), regions[slices] == i)
        for i, slices in enumerate(find_objects(regions), start=1)
    ]


def _continues(last: _Stroke, glyph: _Stroke) -> bool:
    return (
        abs(last.box.bottom - glyph.box.bottom) <= 0.2 * last.box.height
        and 0.7 <= glyph.box.height / last.box.height <= 1.4
        and -1 <= glyph.box.left - last.box.right <= MAX_GLYPH_GAP * last.box.height
    )


def _match(shape: NDArray[np.bool_], form: str) -> float:
    """Return the correlation of a stroke with a plus or a cross."""
    drawn = np.asarray(Image.fromarray(shape.astype(np.float32)).resize((CALIPER_PX, CALIPER_PX), Image.Resampling.BOX))
    across, along = np.mgrid[:CALIPER_PX, :CALIPER_PX] - CALIPER_PX // 2
    template = (across == 0) | (along == 0) if form == "plus" else np.abs(np.abs(across) - np.abs(along)) < 1
    if drawn.std() == 0:
        return 0.0
    return float(np.corrcoef(drawn.ravel(), template.ravel())[0, 1])


def find_content(path: Path, pixels: NDArray[np.float32]) -> Iterator[Finding]:
    """Yield a finding for each margin, text, caliper or color in an image.

    Args:
        path: of the image; color is looked for in PNG and JPEG alone.
        pixels: (H, W) in [0, 1].
    """
    height, width = pixels.shape
    box = content_box(pixels)
    margins = {
        "top": box.top / height,
        "bottom": 1 - box.bottom / height,
        "left": box.left / width,
        "right": 1 - box.right / width,
    }
    wide = [f"{side} {100 * share:.0f} %" for side, share in margins.items() if share >= MIN_MARGIN_SHARE]
    if wide:
        yield Finding("letterbox", (path,), ", ".join(wide))
    colored = _colored_share(path)
    if colored >= MIN_COLORED_SHARE:
        yield Finding("colour", (path,), f"{100 * colored:.1f} % of the pixels")
    contrast = stroke_contrast(pixels)
    if lines := count_text_lines(contrast):
        yield Finding("text", (path,), f"{lines} line{'s' * (lines > 1)}")
    if marks := count_calipers(contrast):
        yield Finding("calipers", (path,), f"{marks} marks")


def _colored_share(path: Path) -> float:
    if source_kind(path) != "raster":
        return 0.0
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        if image.mode in ("1", "L", "LA", "I", "I;16", "I;16B"):
            return 0.0
        values = np.asarray(image.convert("RGB"))
    return float((np.ptp(values, axis=-1) >= MIN_CHROMA).mean())


def find_mask_faults(image: ListedImage, shape: tuple[int, int]) -> Iterator[Finding]:
    """Yield a finding for each fault of an image's masks, and one where it has several lesions.

    A lesion is a connected region of the merged masks.

    Args:
        image: with its masks.
        shape: height and width of the image.
    """
    merged = np.zeros(shape, dtype=bool)
    read = 0
    for path in image.masks:
        try:
            values, coarseness = read_mask_values(path)
            if values.shape != shape:
                detail = f"mask {values.shape[0]} x {values.shape[1]}, image {shape[0]} x {shape[1]} pixels"
                yield Finding("mask_size", (image.path, path), detail)
                continue
            merged |= lesion_of(values, coarseness, path)
        except MaskContentError as error:
            yield Finding("odd_mask", (path,), str(error))
            continue
        except UserError as error:
            yield Finding("unreadable", (path,), str(error))
            continue
        read += 1
    if read == 0:
        return
    _, sizes = label_components(merged)
    tiny = sizes[sizes < MIN_LESION_SHARE * merged.size]
    if sizes.size == 0 and image.diagnosis != "normal":
        yield Finding("empty_mask", (image.path,), f"no lesion, but the image is {image.diagnosis}")
    if tiny.size:
        yield Finding("tiny_lesion", (image.path,), f"{tiny.size} below 0.1 %: {', '.join(map(str, tiny[:5]))} pixels")
    if sizes.size - tiny.size > 1:
        yield Finding("several_lesions", (image.path,), f"{sizes.size - tiny.size} lesions")
