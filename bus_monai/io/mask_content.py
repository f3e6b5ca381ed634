"""What is lesion in a mask, by its content: soft edges, noise, numbers of lesions; and what is no mask, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import UserError

HALF = 127
"""From above which on a gray of a JPEG is lesion: it blurs edges, and what is left of black is no lesion."""


WHITE = 200
"""From which on the brightest gray of a JPEG stands for white."""


MIN_FAINT, MIN_NUMBER = 0.15, 1.5
"""Least value by the coarseness of JPEG at which some 0.95 of a mask is kept: a step of 0 and 1, and other numbers."""


GROUND_SHARE = 0.05
"""Of a mask's pixels, which are without lesion at least."""


NOISE_SHARE = 0.12
"""Of the range of a mask, up to which a gray is noise of the background: JPEG leaves some on black."""


MAX_FAINT = 16
"""Up to which values are so faint that JPEG may lose their edges."""


MAX_NUMBER = 64
"""Up to which gray values of a file without losses are numbers of lesions and no shades."""


MAX_LEVELS = 32
"""Grays of a mask that was drawn, where an area of one gray is no noise, however faint."""


MAX_SHADED_SHARE = 0.25
"""Of a mask's pixels, that soft edges take at most; more is a picture."""


FLAT_PX = 5
"""Side of the square that is of one gray where this is drawn, and no edge."""


FLAT_RANGE = 0.02


BORDER_SHARE = 0.99
"""Of the pixels at the border, from which on the lesion is black and the rest white."""


class MaskContentError(UserError):
    """What a mask holds is not what a mask can be."""


def lesion_of(values: NDArray[Any], coarseness: float, path: Path) -> NDArray[np.bool_]:
    """Tell which pixels of a mask are lesion.

    Args:
        values: (H, W), whole numbers, not below 0.
        coarseness: mean step of the values of JPEG, see :func:`~bus_monai.io.image.read_mask_values`; 0 of others.
        path: of the mask, for errors.

    Raises:
        MaskContentError: it is no mask.
    """
    levels = np.unique(values)
    top = int(levels[-1]) if levels.size else 0
    if top == 0:
        return np.zeros(values.shape, dtype=bool)
    if len(levels) == 1:
        raise MaskContentError(
            f"The mask '{path}' has the value {top} all over, as if the lesion were the whole image: draw it anew, or "
            "make it black where there is no lesion.",
            path=path,
        )
    if coarseness:
        _check_losses(top, coarseness, path)
    if len(levels) == 2:
        lesion = np.asarray(values == top)
    elif top <= MAX_NUMBER and not coarseness:
        lesion = np.asarray(values > 0)
    elif coarseness and top >= WHITE:
        lesion = np.asarray(values > HALF)
    else:
        is_drawn = not coarseness and len(levels) <= MAX_LEVELS
        lesion = _stands_out(values.astype(np.float32), path, is_drawn=is_drawn)
    if _border(lesion).mean() >= BORDER_SHARE:
        raise MaskContentError(
            f"The mask '{path}' is white along its whole border, as if the lesion were black: invert it.", path=path
        )
    return lesion


def _check_losses(top: int, coarseness: float, path: Path) -> None:
    if top <= MAX_FAINT and top / coarseness < (MIN_FAINT * top if top <= 2 else MIN_NUMBER):
        raise MaskContentError(
            f"The mask '{path}' has values up to {top} in JPEG, which loses the edges of what is so faint: make it "
            "anew as PNG, black and white.",
            path=path,
        )


def _border(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def _stands_out(values: NDArray[np.float32], path: Path, *, is_drawn: bool) -> NDArray[np.bool_]:
    top = float(values.max())
    ground = float(np.quantile(values, GROUND_SHARE))
    if ground > top * (1 - NOISE_SHARE):
        return np.asarray(values > top / 2)  # nearly all is lesion, which the border tells
    contrast = np.clip((values - ground) / (top - ground), 0, None)
    count, parts = cv2.connectedComponents((contrast > NOISE_SHARE).view(np.uint8), connectivity=8)
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, parts, contrast)
    peaks[0] = 0
    share = contrast / np.maximum(peaks, 1e-6)[parts]
    inside = parts > 0
    lesion = np.asarray(inside & (share >= 0.5))
    flat = _ranges(contrast) <= FLAT_RANGE
    shaded = inside & (share < 1 - NOISE_SHARE) & ~flat
    if shaded.mean() > MAX_SHADED_SHARE:
        raise MaskContentError(
            f"The mask '{path}' has as many grays as a picture: give the mask, black and white.", path=path
        )
    faint = (_ranges(values) == 0) & ~inside & (values > ground) if is_drawn else np.zeros_like(inside)
    if (inside & ~lesion & flat).any() or faint.any():
        raise MaskContentError(
            f"The mask '{path}' has areas of a gray between black and white, which may be lesion or not: make them "
            "one of both.",
            path=path,
        )
    return lesion


def _ranges(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by how much the values around each pixel differ."""
    around = np.ones((FLAT_PX, FLAT_PX), np.uint8)
    return np.asarray(cv2.dilate(values, around) - cv2.erode(values, around))
