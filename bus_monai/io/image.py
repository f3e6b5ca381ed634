"""One gray image, and PNG and JPEG files read into it, or into a mask."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.errors import UserError, reading
from bus_monai.geometry.box import Box
from bus_monai.io.budget import Budget
from bus_monai.io.gray import packed_grays, to_unit_range
from bus_monai.io.mask_content import lesion_of
from bus_monai.io.opened import CHUNK_BYTES, open_source

RASTER_SUFFIXES = (".png", ".jpg", ".jpeg")
PIXEL_MM = (1e-3, 10.0)
"""Least and largest side of a pixel of ultrasound; what is said beyond is a wrong unit or no calibration."""
NIFTI_SUFFIXES = (".nii", ".nii.gz")


@dataclass(frozen=True)
class SourceImage:
    """A gray image as stored.

    Args:
        pixels: (H, W) float32, rows first, luma of ITU-R BT.601 where the source has color, values in [0, 1].
        spacing_mm: of rows and columns, ``None`` where the file does not say.
        frame: number of this frame, from 0.
        frames: how many the file holds.
        regions: boxes of calibrated parts of the frame and the spacing there, where they differ.
        aspect: height of a pixel by its width, where the file says nothing more of its size.
        notes: what the file says wrong of itself, or does not say, in words for the user.
        images: box of each ultrasound image on the screen, as far as the file names them.
        levels: (H, W), the pixels in 8 bits, where these are all that they are made of, see
            :data:`~bus_monai.io.gray.GRAYS`, and known.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    frame: int = 0
    frames: int = 1
    regions: tuple[tuple[Box, tuple[float, float]], ...] = ()
    aspect: float | None = None
    notes: tuple[str, ...] = ()
    images: tuple[Box, ...] = ()
    levels: NDArray[np.uint8] | None = None

    @property
    def packed(self) -> NDArray[Any]:
        """The pixels as values of 8 bits where these are all that they are made of, else themselves."""
        return packed_grays(self.pixels) if self.levels is None else self.levels

    @classmethod
    def of_picture(cls, image: Image.Image) -> SourceImage:
        """Return the gray values of a picture of Pillow's; an alpha channel means nothing."""
        if image.mode.startswith(("I", "F")):
            return cls(to_unit_range(np.asarray(image)), None)
        # through RGB, so that neither an alpha channel nor the index of a palette is taken for gray
        if image.mode == "La":
            image = image.convert("LA")
        gray = image if image.mode in ("L", "1") else image.convert("RGB")
        levels = np.asarray(gray.convert("L"))
        return cls(np.asarray(levels, dtype=np.float32) / np.float32(255), None, levels=levels)


def is_pixel_size(rows_mm: float, columns_mm: float) -> bool:
    """Tell whether the sides of a pixel may be those of ultrasound.

    Example:
        >>> is_pixel_size(0.1, 0.2), is_pixel_size(0.1, 0), is_pixel_size(1e-7, 1e-7)
        (True, False, False)
    """
    return all(PIXEL_MM[0] <= side <= PIXEL_MM[1] for side in (rows_mm, columns_mm))


def read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read a mask (H, W) of an image of that shape, see :func:`read_any_mask`.

    Raises:
        UserError: it cannot be read, has another size, or is no mask.
    """
    return lesion_of(*_sized(path, shape), path)


def _sized(path: Path, shape: tuple[int, ...]) -> tuple[NDArray[np.int32], float]:
    values, coarseness = read_mask_values(path)
    if values.shape != shape:
        turned = " or turn it as the image is turned" if values.shape == shape[::-1] else ""
        raise UserError(
            f"The mask '{path}' has {values.shape[0]} x {values.shape[1]} pixels but its image {shape[0]} x {shape[1]}"
            f": give a mask of the image's size{turned}.",
            path=path,
        )
    return values, coarseness


def read_masks(paths: Iterable[Path], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read all masks of an image of that shape into one (H, W), by OR; without any there is no lesion.

    Raises:
        UserError: one cannot be read, has another size, or is no mask.
    """
    merged = np.zeros(shape, dtype=bool)
    for path in paths:
        merged |= read_mask(path, shape)
    return merged


def read_any_mask(path: Path) -> NDArray[np.bool_]:
    """Read a PNG or JPEG (H, W) as mask.

    The lesion is what stands out of the gray at the border: from half of its own brightness on, which keeps soft edges
    and the losses of JPEG out, as well as small numbers of lesions. Where transparency says more than color, it counts.

    Raises:
        UserError: it cannot be read, or is no mask: it has one value all over, the lesion is black on white, or it has
            as many grays as a picture.
    """
    return lesion_of(*read_mask_values(path), path)


def read_mask_values(path: Path) -> tuple[NDArray[np.int32], float]:
    """Read the values (H, W) of a PNG or JPEG that is a mask, and the mean step in which JPEG tells them, 0 of PNG.

    Raises:
        UserError: it cannot be read.
    """
    with open_source(path) as source, opened_raster(path, source.file) as image:
        return _values(image), _coarseness(image)


def _coarseness(image: Image.Image) -> float:
    if image.format != "JPEG":
        return 0.0
    tables = getattr(image, "quantization", None) or {}
    return float(np.mean(tables[0])) if tables.get(0) else 1.0


def _values(image: Image.Image) -> NDArray[np.int32]:
    if image.mode.startswith("I"):
        numbers: NDArray[np.int32] = np.asarray(image, np.int32)
        return numbers
    has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    if not has_alpha:
        plain: NDArray[np.int32] = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"), np.int32)
        values = plain if plain.ndim == 2 else np.asarray(plain.max(axis=2))
        # a palette of one color says nothing, its numbers may
        return np.asarray(image, np.int32) if image.mode == "P" and values.min() == values.max() else values
    colors: NDArray[np.int32] = np.asarray(image.convert("RGBA"), np.int32)
    color, alpha = colors[..., :3].max(axis=2), colors[..., 3]
    # an alpha channel means nothing, unless nothing else does
    return np.asarray(alpha if color.min() == color.max() and alpha.min() < alpha.max() else color)


def image_stem(name: str) -> str:
    """Return the name of a file without its ending, ``.nii.gz`` as a whole."""
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else name.removesuffix(PurePath(name).suffix)


def read_raster(path: Path) -> NDArray[np.float32]:
    """Read a PNG or JPEG as gray values (H, W) in [0, 1]; an alpha channel means nothing.

    Raises:
        UserError: the file is truncated, too large, or no such image.
    """
    with open_source(path) as source:
        return decode_raster(path, source.file).pixels


def decode_raster(path: Path, file: BinaryIO) -> SourceImage:
    """Decode an opened PNG or JPEG as :func:`read_raster` does; ``path`` names it in errors."""
    with opened_raster(path, file) as image:
        return SourceImage.of_picture(image)


@contextmanager
def opened_raster(path: Path, file: BinaryIO) -> Iterator[Image.Image]:
    """Open a PNG or JPEG as viewers show it: turned as a camera says that it was held.

    Args:
        path: that names it in errors.
        file: the opened file.

    Raises:
        UserError: it is truncated, too large, or no such image; also of what the block decodes.
    """
    errors = (SyntaxError, ValueError, EOFError, zlib.error)
    try:
        with reading(path, "PNG or JPEG", errors=errors), warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file.seek(0)
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                Budget.current().check_frame(path, image.height, image.width)
                check_whole(image, file)
                yield upright(image)
    except Image.DecompressionBombError as error:
        raise Budget.current().too_large(path) from error


_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn a picture back, by the orientation of Exif."""


def upright(image: Image.Image) -> Image.Image:
    """Return a picture turned as its Exif data say, or itself where they say nothing that can be read."""
    image.load()  # what is wrong with the pixels is not to be taken for a fault of the Exif data
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # of many kinds, and no reason to lose the picture
        turn = None
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.format = image.format
    if tables := getattr(image, "quantization", None):
        turned.__dict__["quantization"] = tables
    return turned


MAX_SCANS = 1000
"""Of a JPEG: progressive ones have some ten, each of which takes the time of the whole image."""


def check_whole(image: Image.Image, file: BinaryIO) -> None:
    """Check that a PNG or JPEG, just opened, has its end, and a PNG its checksums: Pillow ignores those of pixels.

    Damage within the pixels of a JPEG does not show: it has no checksum.

    Raises:
        ValueError: a part is missing or, of a PNG, not as it was written; or a JPEG has too many scans.
    """
    if image.format == "PNG":
        _check_chunks(file)
    else:
        _check_scans(file)


def _check_chunks(file: BinaryIO) -> None:
    file.seek(8)
    name = b""
    while name != b"IEND":
        length, name = file.read(4), file.read(4)
        checksum, left = zlib.crc32(name), int.from_bytes(length, "big")
        while left and (part := file.read(min(left, CHUNK_BYTES))):
            checksum, left = zlib.crc32(part, checksum), left - len(part)
        written = file.read(4)
        if len(written) < 4:
            raise ValueError("it is truncated")
        if written != checksum.to_bytes(4, "big"):
            raise ValueError("a checksum is wrong")


def _check_scans(file: BinaryIO) -> None:
    # Pillow stands behind the head of the first scan: the end of a thumbnail, before it, is not the end of the image
    scans, ended, last = 1, False, b""
    while part := file.read(CHUNK_BYTES):
        seen = last + part
        scans += seen.count(b"\xff\xda")
        ended = ended or b"\xff\xd9" in seen
        last = part[-1:]
        if scans > MAX_SCANS:
            raise ValueError(f"it has more than {MAX_SCANS} scans")
    if not ended:
        raise ValueError("it is truncated")


def raster_pixels(file: BinaryIO) -> int:
    """Return how many pixels an opened PNG or JPEG has by its header.

    Raises:
        OSError: it is no such image.
    """
    file.seek(0)
    with Image.open(file, formats=("PNG", "JPEG")) as image:
        return image.width * image.height
