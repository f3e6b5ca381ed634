"""Pictures of what was found: outlines, numbers and long axes, above a strip that says what made them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bus_monai.geometry.box import Box
from bus_monai.io.ours import RESEARCH

if TYPE_CHECKING:
    from bus_monai.geometry.lesion import Lesion

LESION_COLORS = np.array([(255, 176, 0), (100, 143, 255), (220, 38, 127), (254, 97, 0), (120, 94, 240)], dtype=np.uint8)
"""Of the first five lesions, and again: the palette of IBM's design language, told apart by color-blind people too."""
LINE_SHARE, MIN_LETTER_PX = 40, 12
"""Height of letters: this part of the longer side, and at least so many pixels."""
INK, PAPER = (255, 255, 255), (0, 0, 0)


def draw_overlay(
    pixels: NDArray[np.float32], labels: NDArray[np.integer], lesions: Sequence[Lesion] = (), model: str = ""
) -> NDArray[np.uint8]:
    """Outline each lesion on its inner side, write its number and long axis beside it, and add a strip below.

    The strip says "RESEARCH, not for clinical use" and which model drew. Pixels of the image keep their place; a
    picture that is narrower than the strip's words grows to the right.

    Args:
        pixels: (H, W) in [0, 1].
        labels: (H, W), numbers from 1, 0 outside.
        lesions: of this frame, numbered as in the labels.
        model: name and version, in words.

    Returns:
        (H + strip, W or more, 3), RGB.
    """
    gray = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    image = np.repeat(gray[..., None], 3, axis=2)
    _outline(image, labels)
    height, width = labels.shape
    font = _font(max(MIN_LETTER_PX, max(height, width) // LINE_SHARE))
    words = "\n".join(line for line in (RESEARCH, model) if line)
    left, _, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), words, font=font)
    gap = round(font.size / 3)
    size = max(width, int(right - left) + 2 * gap), height + int(bottom) + 2 * gap
    picture = Image.new("RGB", size, PAPER)
    picture.paste(Image.fromarray(image))
    draw = ImageDraw.Draw(picture)
    draw.multiline_text((gap, height + gap), words, fill=INK, font=font)
    for lesion in lesions:
        text = lesion_text(lesion)
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font, stroke_width=2)
        above = lesion.box.top - (bottom - top) - gap
        place = (
            min(max(lesion.box.left, 2), max(2, width - int(right))),
            above if above >= 0 else min(lesion.box.bottom + gap, height - int(bottom)),
        )
        color = tuple(LESION_COLORS[(lesion.number - 1) % len(LESION_COLORS)].tolist())
        draw.text(place, text, fill=color, font=font, stroke_width=2, stroke_fill=PAPER)
    return np.asarray(picture)


def lesion_text(lesion: Lesion) -> str:
    """Return the number and the long axis of a lesion, such as ``1: 12.3 mm``."""
    length = f"{lesion.long_axis:.1f} mm" if lesion.unit == "mm" else f"{lesion.long_axis:.0f} px"
    return f"{lesion.number}: {length}"


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # the one that Pillow brings along
    return font


def _outline(image: NDArray[np.uint8], labels: NDArray[np.integer]) -> None:
    width = max(1, round(max(labels.shape) / 300))
    # inside are the pixels of which all neighbors within the width have the same number
    size = 2 * width + 1
    lesions = Box.from_mask(labels > 0)  # beyond which there is no lesion, as beyond the image
    if not lesions.area:
        return
    part = labels[lesions.slices].astype(np.uint16)
    around = np.ones((size, size), np.uint8)
    low, high = (
        each(part, around, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)) for each in (cv2.erode, cv2.dilate)
    )
    outline = (part > 0) & (low != high)
    image[lesions.slices][outline] = LESION_COLORS[(part[outline] - 1) % len(LESION_COLORS)]
