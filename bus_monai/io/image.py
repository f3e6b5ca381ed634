"""One gray image, and rasters, NIfTI files and masks read into it, in NumPy alone."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.errors import NotAssessedError, UserError, reading
from bus_monai.io.budget import Budget
from bus_monai.io.opened import CHUNK_BYTES, OpenedSource, open_regular, open_source

RASTER_SUFFIXES = (".png", ".jpg", ".jpeg")
NIFTI_SUFFIXES = (".nii", ".nii.gz")


LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Shares of red, green and blue in gray, ITU-R BT.601."""


@dataclass(frozen=True)
class SourceImage:
    """A gray image as stored.

    Args:
        pixels: (H, W) float32, rows first, luma of ITU-R BT.601 where the source has color, values in [0, 1].
        spacing_mm: of rows and columns, ``None`` where the file does not say.
        frame: number of this frame, from 0.
        frames: how many the file holds.
        images: top, left, bottom and right of each ultrasound image on the screen, as far as the file names them.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    frame: int = 0
    frames: int = 1
    images: tuple[tuple[int, int, int, int], ...] = ()


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
    """Read a PNG or JPEG as gray values (H, W) in [0, 1]; an alpha channel means nothing.

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
            _check_scans(file)
            file.seek(0)
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                Budget.current().check_frame(path, image.height, image.width)
                if image.mode in ("I;16", "I;16B", "I"):
                    return np.asarray(image, dtype=np.float32) / np.float32(65535)
                # through RGB, so that neither an alpha channel nor the index of a palette is taken for gray
                gray = image if image.mode in ("L", "1") else image.convert("RGB")
                return np.asarray(gray.convert("L"), dtype=np.float32) / np.float32(255)
    except Image.DecompressionBombError as error:
        raise Budget.current().too_large(path) from error


MAX_SCANS = 1000
"""Of a JPEG: progressive ones have some ten, each of which takes the time of the whole image."""


def _check_scans(file: BinaryIO) -> None:
    file.seek(0)
    last = file.read(2)
    if last != b"\xff\xd8":
        return
    scans = 0
    while part := file.read(CHUNK_BYTES):
        scans += (last[-1:] + part).count(b"\xff\xda")
        last = part
        if scans > MAX_SCANS:
            raise ValueError(f"it has more than {MAX_SCANS} scans")


def read_nifti(source: OpenedSource) -> SourceImage:
    """Read an opened NIfTI file of one image, with the spacing that its header gives.

    Raises:
        UserError: it is broken, too large, or holds more than one image.
    """
    path = source.path
    with nifti_values(source) as (header, values):
        shape = values.shape
        if len(shape) < 2 or any(n != 1 for n in shape[2:]):
            raise UserError(f"'{path}' has the shape {shape}: give a NIfTI file of one two-dimensional image.")
        Budget.current().check_frame(path, shape[1], shape[0])
        pixels = np.asarray(values).reshape(shape[:2]).T
    columns_mm, rows_mm = (float(zoom) for zoom in header.get_zooms()[:2])
    spacing = (rows_mm, columns_mm) if rows_mm > 0 and columns_mm > 0 else None
    return SourceImage(to_unit_range(pixels), spacing)


@contextmanager
def nifti_values(source: OpenedSource) -> Iterator[tuple[Any, Any]]:
    """Yield the header of an opened NIfTI file and its values, of which those are read that are asked for by index.

    Raises:
        UserError: it is broken, or holds values that are no gray.
    """
    from nibabel.arrayproxy import ArrayProxy

    with _nifti_content(source) as (header, content):
        stored = header.get_data_dtype()
        if stored.kind not in "biuf" or stored.itemsize > 8:
            raise UserError(f"'{source.path}' holds {stored} values: give a NIfTI file of gray values.")
        yield header, ArrayProxy(content, header, mmap=False)


def raster_pixels(file: BinaryIO) -> int:
    """Return how many pixels an opened PNG or JPEG has by its header.

    Raises:
        OSError: it is no such image.
    """
    file.seek(0)
    with Image.open(file, formats=("PNG", "JPEG")) as image:
        return image.width * image.height


def nifti_pixels(source: OpenedSource) -> int:
    """Return how many values an opened NIfTI file has by its header.

    Raises:
        UserError: it is broken.
    """
    with _nifti_content(source) as (header, _):
        return int(np.prod(header.get_data_shape(), dtype=np.int64))


def nifti_header(path: Path) -> Any:
    """Return the header of a NIfTI file, without its extensions.

    Raises:
        UserError: it is missing or broken.
    """
    with open_source(path) as source, _nifti_content(source) as (header, _):
        return header


LONGEST_HEADER = 540
"""Bytes of NIfTI-2; NIfTI-1 has 348."""
LONGEST_EXTENSIONS = 1 << 24
"""Bytes before the values, which are passed over: an extension declares its own size, and nibabel reads it."""


@contextmanager
def _nifti_content(source: OpenedSource) -> Iterator[tuple[Any, IO[bytes]]]:
    from nibabel.filebasedimages import ImageFileError
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    errors = (EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError, WrapStructError)
    with reading(source.path, "NIfTI", errors=errors):
        source.file.seek(0)
        packed = source.file.read(2) == b"\x1f\x8b"
        source.file.seek(0)
        content = cast("IO[bytes]", gzip.GzipFile(fileobj=source.file) if packed else source.file)
        head = content.read(LONGEST_HEADER)
        apart = head[344:348] == b"ni1\0"
        kind = Nifti2Header if head[4:8] == b"n+2\0" else Nifti1PairHeader if apart else Nifti1Header
        header = kind(head[: kind.sizeof_hdr])
        offset = header.get_data_offset()
        if not (0 if apart else kind.sizeof_hdr) <= offset <= LONGEST_EXTENSIONS:
            raise ValueError(f"its values begin at byte {offset:,}")
        if not apart:
            yield header, content
            return
        with open_regular(source.path.with_suffix(".img")) as values:
            yield header, values


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
    """Raise :class:`NotAssessedError` unless an image, or any of its frames, has a pixel above 0: ``signal`` tells."""
    if not signal:
        raise NotAssessedError(f"'{path}' holds no signal: every pixel is 0; remove it.", path=path)
