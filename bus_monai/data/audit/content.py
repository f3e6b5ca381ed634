"""What an image shows besides tissue: margins, colour, text, calipers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.audit.annotations import count_calipers, count_text_lines, stroke_contrast
from bus_monai.data.audit.finding import Finding
from bus_monai.data.duplicates.square import content_box
from bus_monai.source import source_kind

LEAST_MARGIN = 0.02
"""Of a side, from which on a black margin is a letterbox."""
LEAST_CHROMA = 64
"""Range of red, green and blue of a saturated pixel."""
LEAST_COLOURED = 0.001
"""Share of saturated pixels from which on an image is coloured."""


def find_content(path: Path, pixels: NDArray[np.float32]) -> Iterator[Finding]:
    """Yield what the image shows besides tissue.

    Args:
        path: of the image; colour is looked for in PNG and JPEG alone.
        pixels: (H, W) in [0, 1].
    """
    height, width = pixels.shape
    top, bottom, left, right = content_box(pixels)
    margins = {"top": top / height, "bottom": 1 - bottom / height, "left": left / width, "right": 1 - right / width}
    wide = [f"{side} {100 * share:.0f} %" for side, share in margins.items() if share >= LEAST_MARGIN]
    if wide:
        yield Finding("letterbox", (path,), ", ".join(wide))
    coloured = _coloured_share(path)
    if coloured >= LEAST_COLOURED:
        yield Finding("colour", (path,), f"{100 * coloured:.1f} % of the pixels")
    contrast = stroke_contrast(pixels)
    if lines := count_text_lines(contrast):
        yield Finding("text", (path,), f"{lines} line{'s' * (lines > 1)}")
    if marks := count_calipers(contrast):
        yield Finding("calipers", (path,), f"{marks} marks")


def _coloured_share(path: Path) -> float:
    if source_kind(path) != "raster":
        return 0.0
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        if image.mode in ("1", "L", "LA", "I", "I;16", "I;16B"):
            return 0.0
        values = np.asarray(image.convert("RGB"))
    return float((np.ptp(values, axis=-1) >= LEAST_CHROMA).mean())
