"""Decoded pixels of a DICOM frame as gray, as its header says that they are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from bus_monai.dicom.calibration import functional_groups
from bus_monai.dicom.pixel_layout import PixelLayout
from bus_monai.io.gray import LUMA_WEIGHTS, to_unit_range, windowed

MAX_SAMPLES_AT_ONCE = 12_000_000
"""Samples of color that are turned into floats at once."""


def gray_values(pixels: NDArray[Any], header: Dataset, layout: PixelLayout, frame: int) -> NDArray[np.float32]:
    """Turn decoded pixels into luma in [0, 1].

    Color and values of 8 bits are divided by the largest value. A window or table that the header asks for counts for
    gray, and where there is none the rule of :func:`~bus_monai.io.gray.to_unit_range`, so that the same picture comes
    out whatever holds it.

    Args:
        pixels: (H, W), or (H, W, 3) in RGB.
        header: of the file.
        layout: of its pixels.
        frame: number of the frame, which may have a window of its own.
    """
    if layout.interpretation == "PALETTE COLOR":
        return _palette_luma(pixels, header)
    if pixels.ndim == 3:
        return _luma(pixels, layout)
    if layout.is_ybr:
        return to_unit_range(pixels, top=layout.top)
    values = _unsigned(pixels)
    gray = _shown(values, header, layout, frame)
    return 1 - gray if layout.interpretation == "MONOCHROME1" else gray


def _luma(pixels: NDArray[Any], layout: PixelLayout) -> NDArray[np.float32]:
    """Return the luma of RGB, of a large image by bands of rows."""
    if pixels.dtype != np.uint8:
        return np.asarray(to_unit_range(pixels) @ LUMA_WEIGHTS, dtype=np.float32)
    top = np.float32(layout.top)
    gray = np.empty(pixels.shape[:2], np.float32)
    rows = max(1, MAX_SAMPLES_AT_ONCE // max(1, pixels.size // len(pixels)))
    for start in range(0, len(pixels), rows):
        luma = pixels[start : start + rows].astype(np.float32) @ LUMA_WEIGHTS
        gray[start : start + rows] = np.clip(luma / top, 0, 1)
    return gray


def _unsigned(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return 8-bit values as they are meant: ultrasound has no signed ones, and many a header that says so is wrong.

    Read in the wrong way, values jump from one end to the other where the picture is smooth.
    """
    if pixels.dtype != np.int8:
        return pixels
    plain = pixels.view(np.uint8)
    return plain if _steps(plain) <= _steps(pixels) else pixels


def _steps(pixels: NDArray[Any]) -> int:
    values = pixels.astype(np.int16)
    return int(np.abs(np.diff(values, axis=0)).sum()) + int(np.abs(np.diff(values, axis=1)).sum())


def _shown(values: NDArray[Any], header: Dataset, layout: PixelLayout, frame: int) -> NDArray[np.float32]:
    for group in functional_groups(header, frame):
        found = _by_window(values, header, group, frame)
        if found is not None:
            return found
    gray = to_unit_range(values, top=layout.top)
    return 1 - gray if _slope(header, frame)[0] < 0 else gray


def _by_window(values: NDArray[Any], header: Dataset, group: Dataset, frame: int) -> NDArray[np.float32] | None:
    holder = _first(group, "FrameVOILUTSequence")
    try:
        if holder.get("VOILUTSequence"):
            shown = np.asarray(apply_voi(_rescaled(values, header, frame), holder), np.float32)
            bits = int(holder.VOILUTSequence[0].LUTDescriptor[2])
            return np.asarray(np.clip(shown / np.float32(2 ** min(max(bits, 8), 16) - 1), 0, 1))
        function = str(holder.get("VOILUTFunction") or "LINEAR")
    except Exception:  # values are decoded when they are asked for, and a table is no reason to lose the picture
        return None
    center, width = _number(holder, "WindowCenter"), _number(holder, "WindowWidth")
    if center is None or width is None:
        return None
    return windowed(_rescaled(values, header, frame), center, width, function=function)


def _rescaled(values: NDArray[Any], header: Dataset, frame: int) -> NDArray[Any]:
    if header.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(values, header))
    slope, intercept = _slope(header, frame)
    return values if (slope, intercept) == (1, 0) else values.astype(np.float64) * slope + intercept


def _slope(header: Dataset, frame: int) -> tuple[float, float]:
    for group in functional_groups(header, frame):
        holder = _first(group, "PixelValueTransformationSequence")
        slope, intercept = _number(holder, "RescaleSlope"), _number(holder, "RescaleIntercept")
        if slope:
            return slope, intercept or 0.0
    return 1.0, 0.0


def _first(group: Dataset, keyword: str) -> Dataset:
    """Return the first item of a sequence of functional groups, or the header, which has its elements itself."""
    items = group.get(keyword)
    return items[0] if items else group


def _number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first number of an element, ``None`` where it is missing or no finite number."""
    try:
        value: Any = dataset.get(keyword)
        several = hasattr(value, "__iter__") and not isinstance(value, str)
        number = float(next(iter(value)) if several else value)
    except Exception:  # values are decoded when they are asked for
        return None
    return number if np.isfinite(number) else None


def _palette_luma(pixels: NDArray[Any], header: Dataset) -> NDArray[np.float32]:
    entries, first, bits = (int(value) for value in header.RedPaletteColorLookupTableDescriptor)
    if "SegmentedRedPaletteColorLookupTableData" in header:
        colors = apply_color_lut(pixels, header)[..., :3]
        return _scaled_luma(colors, bits)
    # pydicom 3.0 reads the tables in the machine's byte order, which turns big endian files black
    order = "<" if header.original_encoding[1] else ">"
    tables = []
    for color in ("Red", "Green", "Blue"):
        stored = header[f"{color}PaletteColorLookupTableData"].value
        tables.append(np.frombuffer(stored, dtype=f"{order}u{len(stored) // (entries or 2**16)}"))
    luma = _scaled_luma(np.stack(tables, axis=-1), bits)
    return luma[np.clip(pixels.astype(np.int32) - first, 0, len(luma) - 1)]


def _scaled_luma(colors: NDArray[Any], bits: int) -> NDArray[np.float32]:
    # tables say 8 bits and use 16, and the other way round
    top = np.float32(2 ** min(bits, 8 * colors.dtype.itemsize) - 1)
    return np.asarray(np.clip(colors.astype(np.float32) @ LUMA_WEIGHTS / top, 0, 1), dtype=np.float32)
