"""One grey image, and rasters, NIfTI files and masks read into it, in NumPy alone."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.errors import UserError, reading
from bus_monai.io.opened import open_source

RASTER_SUFFIXES = (".png", ".jpg", ".jpeg")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
MAX_PIXELS = 100_000_000
"""A larger image is a decompression bomb or a mistake."""


LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Shares of red, green and blue in grey, ITU-R BT.601."""


@dataclass(frozen=True)
class SourceImage:
    """A grey image as stored.

    Args:
        pixels: (H, W) float32, rows first, luma of ITU-R BT.601 where the source has colour, values in [0, 1].
        spacing_mm: of rows and columns, ``None`` where the file does not say.
        frame: number of this frame, from 0.
        frames: how many the file holds.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    frame: int = 0
    frames: int = 1


def read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read a mask (H, W) of an image of that shape, see :func:`is_lesion`.

    Raises:
        UserError: it cannot be read or has another size.
    """
    values = read_raster(path)
    if values.shape != shape:
        raise UserError(
            f"The mask '{path}' has {values.shape[0]} x {values.shape[1]} pixels but its image {shape[0]} x {shape[1]}"
            ": give a mask of the image's size."
        )
    return is_lesion(values, path)


def read_masks(paths: Iterable[Path], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read all masks of an image of that shape into one (H, W), by OR; without any there is no lesion.

    Raises:
        UserError: one cannot be read or has another size.
    """
    merged = np.zeros(shape, dtype=bool)
    for path in paths:
        merged |= read_mask(path, shape)
    return merged


def is_lesion(values: NDArray[np.float32], path: Path) -> NDArray[np.bool_]:
    """Tell which pixels of a mask are lesion: any value but 0, in a JPEG, which blurs edges, any from half on."""
    return values >= 0.5 if path.suffix.lower() in (".jpg", ".jpeg") else values > 0


def image_stem(name: str) -> str:
    """Return the name of a file without its ending, ``.nii.gz`` as a whole."""
    return name.removesuffix(".nii.gz" if name.endswith(".nii.gz") else PurePath(name).suffix)


def read_raster(path: Path) -> NDArray[np.float32]:
    """Read a PNG or JPEG as grey values (H, W) in [0, 1]; an alpha channel means nothing.

    Raises:
        UserError: the file is truncated, too large, or no such image.
    """
    with open_source(path) as source:
        return decode_raster(path, source.file)


def decode_raster(path: Path, file: BinaryIO) -> NDArray[np.float32]:
    """Decode an opened PNG or JPEG as :func:`read_raster` does; ``path`` names it in errors."""
    errors = (SyntaxError, ValueError, EOFError, zlib.error)
    try:
        with reading(path, "PNG or JPEG", errors=errors), warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file.seek(0)
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                _check_size(path, image.size)
                if image.mode in ("I;16", "I;16B", "I"):
                    return np.asarray(image, dtype=np.float32) / np.float32(65535)
                # through RGB, so that neither an alpha channel nor the index of a palette is taken for grey
                grey = image if image.mode in ("L", "1") else image.convert("RGB")
                return np.asarray(grey.convert("L"), dtype=np.float32) / np.float32(255)
    except Image.DecompressionBombError as error:
        raise UserError(f"'{path}' is too large ({error}): give at most {MAX_PIXELS:,} pixels.", path=path) from error


def read_nifti(path: Path) -> SourceImage:
    """Read a NIfTI file of one image, with the spacing that its header gives.

    Raises:
        UserError: it is broken, too large, or holds more than one image.
    """
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    with reading(path, "NIfTI", errors=(EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError)):
        image = nib.load(path)
        shape = image.shape
        if len(shape) < 2 or any(n != 1 for n in shape[2:]):
            raise UserError(f"'{path}' has the shape {shape}: give a NIfTI file of one two-dimensional image.")
        _check_size(path, shape[:2])
        stored = np.asarray(image.dataobj).reshape(shape[:2]).T
        if stored.dtype.kind not in "biuf":
            raise UserError(f"'{path}' holds {stored.dtype} values: give a NIfTI file of grey values.")
    columns_mm, rows_mm = (float(zoom) for zoom in image.header.get_zooms()[:2])
    spacing = (rows_mm, columns_mm) if rows_mm > 0 and columns_mm > 0 else None
    return SourceImage(to_unit_range(stored), spacing)


def to_unit_range(values: NDArray[Any]) -> NDArray[np.float32]:
    """Scale to [0, 1]: 8-bit values by 255, others by their own range unless they lie in [0, 1] already."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / np.float32(255)
    values = np.nan_to_num(values.astype(np.float32))
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values
    return ((values - low) / max(high - low, 1e-12)).astype(np.float32)


def check_signal(path: str | Path, signal: bool) -> None:
    """Raise a user error unless an image, or any of its frames, has a pixel above 0, which ``signal`` tells."""
    if not signal:
        raise UserError(f"'{path}' holds no signal: every pixel is 0; remove it.", path=path)


def _check_size(path: Path, size: tuple[int, ...]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise UserError(f"'{path}' has {size[0]} x {size[1]} pixels: scale it down to at most {MAX_PIXELS:,} pixels.")
