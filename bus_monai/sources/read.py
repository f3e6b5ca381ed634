"""Read an image file of any kind: PNG, JPEG, NIfTI or DICOM, one image or the frames of a cine."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from bus_monai.errors import UserError
from bus_monai.io.image import SourceImage, decode_raster, raster_pixels
from bus_monai.io.nifti import nifti_pixels, read_nifti
from bus_monai.io.opened import OpenedSource, open_source
from bus_monai.sources.listing import other_kind


def read_source(path: str | Path, frame: int = 0) -> SourceImage:
    """Read a PNG, JPEG, NIfTI or DICOM file; the content decides on the kind, not the name.

    Raises:
        UserError: the file is missing, broken, too large, or none of these; or it has no such frame.
    """
    with open_source(path) as source:
        return read_image(source, frame)


def read_image(source: OpenedSource, frame: int = 0) -> SourceImage:
    """Read one image, or one frame of a cine, of an opened file; no other frame is read.

    Raises:
        UserError: the file is broken, too large, or of no kind that is read; or it has no such frame.
    """
    source.check()
    if source.kind == "dicom":
        from bus_monai.dicom.read import read_frame

        return read_frame(source, frame)
    if source.kind is None:
        raise other_kind(source)
    if frame != 0:
        raise UserError(f"'{source.path}' holds one image: there is no frame {frame}, counted from 0.")
    if source.kind == "nifti":
        return read_nifti(source)
    return decode_raster(source.path, source.file)


def read_images(source: OpenedSource) -> Generator[SourceImage, None, None]:
    """Read the frames of an opened file of any kind, one in memory at a time; again from the first at each call.

    Raises:
        UserError: the file cannot be read; the frames before the broken one are yielded.
    """
    source.check()
    if source.kind == "dicom":
        from bus_monai.dicom.read import read_frames

        yield from read_frames(source)
    else:
        yield read_image(source)


def declared_pixels(source: OpenedSource) -> int:
    """Return how many pixels per frame of an opened file has by its header; 0 where it is broken."""
    try:
        if source.kind == "dicom":
            return int(source.header.Rows) * int(source.header.Columns)
        if source.kind == "raster":
            return raster_pixels(source.file)
        return nifti_pixels(source) if source.kind == "nifti" else 0
    except Exception:  # reading it will say what is wrong
        return 0


def read_all_frames(path: Path) -> Generator[SourceImage, None, None]:
    """Read the frames of a file of any kind, one in memory at a time.

    Raises:
        UserError: as :func:`read_images`, or the file is missing.
    """
    with open_source(path) as source:
        yield from read_images(source)


def image_shape(path: Path) -> tuple[int, int, int]:
    """Return frames, rows and columns.

    Raises:
        UserError: the file cannot be read.
    """
    first = read_source(path)
    rows, columns = first.pixels.shape
    return first.frames, rows, columns
