"""Lesions in colour on the grey image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

COLOURS = np.array([(255, 176, 0), (100, 143, 255), (220, 38, 127), (254, 97, 0), (120, 94, 240)], dtype=np.uint8)
"""Of the first five lesions, and again: the palette of IBM's design language, told apart by colour-blind people too."""


def draw_overlay(pixels: NDArray[np.float32], labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Outline each lesion on its inner side.

    Args:
        pixels: (H, W) in [0, 1].
        labels: (H, W), numbers from 1, 0 outside.

    Returns:
        (H, W, 3), RGB.
    """
    grey = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    image = np.repeat(grey[..., None], 3, axis=2)
    width = max(1, round(max(labels.shape) / 300))
    # inside are the pixels of which all neighbours within the width have the same number
    size = 2 * width + 1
    inner = ndimage.minimum_filter(labels, size, mode="constant") == ndimage.maximum_filter(labels, size)
    outline = (labels > 0) & ~inner
    image[outline] = COLOURS[(labels[outline] - 1) % len(COLOURS)]
    return image
