"""How stored values become gray in [0, 1]: one rule for all files, arrays and tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import NotAssessedError

LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Shares of red, green and blue in gray, ITU-R BT.601."""
GRAYS = np.arange(256, dtype=np.float32) / np.float32(255)
"""In [0, 1], of values of 8 bits."""
MIN_BRIGHT = 16
"""From which value on the brightest pixel of broken numbers stands for one of 255, and not for a share of 1."""
MIN_GRAYS = 8
"""That a window must leave of a picture that has as many, or it is not of that picture."""


def packed_grays(pixels: NDArray[np.float32]) -> NDArray[Any]:
    """Return gray values as values of 8 bits, a quarter of the bytes, where these are all that they are made of.

    Args:
        pixels: (H, W) in [0, 1].

    Example:
        >>> packed_grays(np.array([[0, 1]], np.float32)), packed_grays(np.array([[0, 0.5]], np.float32))
        (array([[  0, 255]], dtype=uint8), array([[0. , 0.5]], dtype=float32))
    """
    pixels = np.ascontiguousarray(pixels)
    values = cv2.convertScaleAbs(pixels, alpha=255)
    return values if np.array_equal(cv2.LUT(values, GRAYS), pixels) else pixels


def unpacked_grays(packed: NDArray[Any]) -> NDArray[np.float32]:
    """Return the gray values that :func:`packed_grays` was given."""
    return np.asarray(cv2.LUT(packed, GRAYS)) if packed.dtype == np.uint8 else packed


def to_unit_range(values: NDArray[Any], *, top: int = 255) -> NDArray[np.float32]:
    """Scale to [0, 1], whatever the numbers are stored as.

    Numbers in [0, 1] that are no whole numbers are gray as they are. Whole numbers up to 255 are an 8-bit picture,
    whether in 8 bits, 16 or in floating point. All others are scaled by their own range. NaN and negative infinity are
    as dark as the darkest number, infinity is as bright as the brightest.

    Args:
        values: any shape, of any real kind.
        top: largest value that 8 bits or less may hold where the file says less than 8.

    Example:
        >>> to_unit_range(np.array([0, 51, 255], np.int16)).round(2).tolist()
        [0.0, 0.20000000298023224, 1.0]
        >>> to_unit_range(np.array([0, 819, 4095], np.uint16)).round(2).tolist()
        [0.0, 0.20000000298023224, 1.0]
    """
    if values.dtype.kind == "b" or not values.size:
        return values.astype(np.float32)
    if values.dtype == np.uint8:
        scale = top if top < 255 and int(values.max()) <= top else 255
        return values.astype(np.float32) / np.float32(scale)
    numbers = _finite(values)
    low, high = numbers.min(), numbers.max()
    if low >= 0 and high <= 255 and _is_eight_bit(values, numbers, float(high)):
        return np.asarray(numbers / numbers.dtype.type(top if high <= top else 255), dtype=np.float32)
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.asarray(numbers, dtype=np.float32)
    if low == high:
        return np.full(values.shape, high > 0, np.float32)
    return np.asarray((numbers - low) / max(high - low, numbers.dtype.type(1e-12)), dtype=np.float32)


def _finite(values: NDArray[Any]) -> Any:
    """Return the numbers in a kind that holds their differences, without what is not finite."""
    exact = values.dtype.kind in "iu" and values.dtype.itemsize > 2
    numbers: Any = values.astype(np.float64 if exact or values.dtype.itemsize > 4 else np.float32)
    finite = np.isfinite(numbers)
    if not finite.all():
        some = numbers[finite]
        low, high = (some.min(), some.max()) if some.size else (0, 0)
        numbers = np.where(finite, numbers, np.where(numbers == np.inf, high, low)).astype(numbers.dtype)
    most = np.abs(numbers).max()
    if numbers.dtype == np.float64 and most < np.finfo(np.float32).max and not exact:
        return numbers.astype(np.float32)
    return numbers / 2 if most > np.finfo(numbers.dtype).max / 2 else numbers


def _is_eight_bit(values: NDArray[Any], numbers: NDArray[Any], high: float) -> bool:
    if values.dtype.kind in "iu":
        return True
    return high > MIN_BRIGHT or (high > 1 and bool((numbers == np.rint(numbers)).all()))


def windowed(
    values: NDArray[Any], center: float, width: float, *, function: str = "LINEAR"
) -> NDArray[np.float32] | None:
    """Map a window of values to [0, 1] as DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3 do; ``None`` where it does not fit.

    A window does not fit that is no window, or that leaves too few grays of the picture, such as one of another series.

    Args:
        values: (H, W), after the rescaling that the file asks for.
        center: of the window.
        width: of the window, at least 1, above 0 for ``LINEAR_EXACT`` and ``SIGMOID``.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.
    """
    linear = function not in ("LINEAR_EXACT", "SIGMOID")
    if not (np.isfinite(center) and np.isfinite(width)) or width < (1 if linear else 1e-12):
        return None
    numbers = _finite(values).astype(np.float64)
    if function == "SIGMOID":
        mapped = 1 / (1 + np.exp(np.clip(-4 * (numbers - center) / width, -700, 700)))
    elif linear:
        mapped = (numbers - (center - 0.5)) / max(width - 1, 1e-6) + 0.5
    else:
        mapped = (numbers - center) / width + 0.5
    shown: NDArray[np.float32] = np.clip(mapped, 0, 1).astype(np.float32)
    if _grays(shown) < min(MIN_GRAYS, _grays(numbers)):
        return None
    return shown


def _grays(values: NDArray[Any]) -> int:
    low, high = float(values.min()), float(values.max())
    if low == high:
        return 1
    scaled = ((values - low) * (255 / (high - low))).astype(np.uint8)
    return int(np.count_nonzero(np.bincount(scaled.ravel(), minlength=256)))


def check_signal(path: str | Path, signal: bool) -> None:
    """Raise an error of what is not assessed unless an image, or a frame of it, has a pixel above 0.

    Args:
        path: of the file, or what else stands for the image.
        signal: whether it has.
    """
    if not signal:
        raise NotAssessedError(f"'{path}' holds no signal: every pixel is 0; remove it.", path=path)
