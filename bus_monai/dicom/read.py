"""Frames of DICOM ultrasound as gray values, what identifies an object, and what a directory lists."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import Tag
from pydicom.uid import MediaStorageDirectoryStorage, SegmentationStorage

from bus_monai.dicom.calibration import calibration, tissue_boxes
from bus_monai.dicom.codestream import PixelError
from bus_monai.dicom.decode import Decoded, decode_frame, gray_values
from bus_monai.dicom.pixel_layout import PixelLayout, pixel_layout
from bus_monai.errors import UserError, reading
from bus_monai.io.budget import Budget
from bus_monai.io.image import SourceImage
from bus_monai.io.opened import OpenedSource, open_source

IDENTIFIERS = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "AccessionNumber")
MIN_IDENTIFIER_LENGTH = 3
"""Characters of an identifier that is looked for: shorter ones are parts of common words."""


def read_modality(source: OpenedSource) -> str:
    """Return the modality, such as ``US``; ``DICOMDIR`` for a directory; empty where the file does not say."""
    header = _header_or_nothing(source)
    directory = getattr(header, "file_meta", Dataset()).get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
    return "DICOMDIR" if directory else header_text(header, "Modality")


def without_identifiers(text: str, source: OpenedSource) -> str:
    """Replace what identifies the patient of a file, which a decoder's message may quote, by an ellipsis."""
    header = _header_or_nothing(source)
    for keyword in IDENTIFIERS:
        value = header_text(header, keyword)
        for part in (value, *value.split("^")):
            if len(part) >= MIN_IDENTIFIER_LENGTH:
                text = text.replace(part, "…")
    return text


def _header_or_nothing(source: OpenedSource) -> Dataset:
    try:
        return source.header
    except UserError as error:
        if error.key is not None or isinstance(error.__cause__, MemoryError):
            return Dataset()  # it asks for too much, in whatever way it is read
        # reading the image will say what is wrong; a broken element elsewhere must not hide who is on it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source.check_unpacked()
            source.file.seek(0)
            tags: list[Any] = [Tag(keyword) for keyword in (*IDENTIFIERS, "Modality", "SOPClassUID")]
            left = iter(range(Budget.current().elements))
            return read_partial(source.file, lambda *_: next(left, None) is None, specific_tags=tags, force=True)
    except Exception:  # of some ten kinds
        return Dataset()


def header_text(header: Dataset, keyword: str) -> str:
    """Return the text of an element without blanks around it, empty where it is missing or cannot be decoded."""
    try:
        return str(header.get(keyword) or "").strip()
    except Exception:  # values are decoded when they are asked for
        return ""


def read_frame(source: OpenedSource, frame: int = 0) -> SourceImage:
    """Read one frame of an ultrasound object, of any color model and transfer syntax that pydicom decodes.

    Only that frame is read from a cine. What the header says of the pixels is checked against their bytes, see
    :func:`~bus_monai.dicom.pixel_layout.pixel_layout`; see :func:`~bus_monai.dicom.decode.gray_values` for gray.

    Raises:
        UserError: the file is broken, too large, holds no pixels, or has no such frame.
    """
    header = _image_header(source)
    with _decoding(source):
        layout = pixel_layout(source)
        if not 0 <= frame < layout.frames:
            raise UserError(f"'{source.path}' has {layout.frames} frames: there is no frame {frame}, counted from 0.")
        return _image(decode_frame(source, layout, frame), header, layout, frame)


def read_frames(source: OpenedSource) -> Iterator[SourceImage]:
    """Read each frame as ``read_frame`` does, one in memory at a time, in one pass through the file.

    Raises:
        UserError: the file is broken, too large, holds no pixels, or frames are missing; those before are yielded.
    """
    header = _image_header(source)
    with _decoding(source):
        layout = pixel_layout(source)
    for frame in range(layout.frames):
        with _decoding(source):
            image = _image(decode_frame(source, layout, frame), header, layout, frame)
        yield image


def _image(decoded: Decoded, header: Dataset, layout: PixelLayout, frame: int) -> SourceImage:
    pixels, found = decoded
    size = calibration(header, frame)
    return SourceImage(
        gray_values(pixels, header, found, frame),
        size.spacing_mm,
        frame,
        layout.frames,
        regions=size.regions,
        aspect=size.aspect,
        notes=(*layout.notes, *size.notes),
        images=tissue_boxes(header),
        levels=_levels(pixels, found),
    )


def _levels(pixels: NDArray[Any], layout: PixelLayout) -> NDArray[np.uint8] | None:
    """Return luma that is stored as 8 bits, which is gray as it is."""
    is_stored = layout.is_ybr and pixels.ndim == 2 and layout.top == 255
    return pixels if is_stored and pixels.dtype == np.uint8 else None


@contextmanager
def _decoding(source: OpenedSource) -> Iterator[None]:
    syntax = source.header.file_meta.get("TransferSyntaxUID")
    packed = syntax is not None and syntax.is_transfer_syntax and syntax.is_compressed
    again = "copy or export the file again"
    convert = "convert the file to an uncompressed transfer syntax" if packed else again
    # each decoder has errors of its own
    with (
        reading(source.path, "a DICOM image", errors=(Exception,), remedy=f"{convert}, or remove it"),
        reading(source.path, "a DICOM image", errors=(PixelError,), remedy=f"{again}, or remove it"),
    ):
        yield


def count_frames(source: OpenedSource) -> int:
    """Return the number of frames of a file, 0 where it is no image: a report, or a segmentation of one.

    Raises:
        UserError: the file is broken, or has more frames than may be read.
    """
    header = _checked_header(source)
    if "Rows" not in header or header.get("SOPClassUID") == SegmentationStorage:
        return 0
    with _decoding(source):
        return pixel_layout(source).frames


def frame_size(path: Path) -> tuple[int, int]:
    """Return rows and columns of a file without decoding its pixels.

    Raises:
        UserError: the file is broken or no image.
    """
    with open_source(path) as source:
        header = _checked_header(source)
    try:
        return int(header.Rows), int(header.Columns)
    except Exception as error:  # values are decoded when they are asked for
        raise UserError(f"'{path}' holds no pixels: give an image object.") from error


def spacing_mm(header: Dataset, frame: int = 0) -> tuple[float, float] | None:
    """Return the spacing of rows and columns in mm, or ``None`` where the frame has no single one."""
    return calibration(header, frame).spacing_mm


def _checked_header(source: OpenedSource) -> Dataset:
    if "SOPClassUID" not in source.header and "Rows" not in source.header:
        raise UserError(f"'{source.path}' is no DICOM object, it has no SOPClassUID: copy the file again or remove it.")
    return source.header


def _image_header(source: OpenedSource) -> Dataset:
    header = _checked_header(source)
    if "Rows" not in header and not _holds_pixels(source):
        raise UserError(f"'{source.path}' holds no pixels: give an image object.")
    return header


def _holds_pixels(source: OpenedSource) -> bool:
    source.content.seek(source.pixels_at)
    return source.content.read(4) in (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10")


def listed_images(path: Path) -> Iterator[Path]:
    """Yield the paths of the images that a DICOMDIR lists, below its folder; those that are missing come too.

    Raises:
        UserError: it cannot be read, lists no image, or one outside of its folder.
    """
    with reading(path, "a DICOMDIR", errors=(Exception,), remedy="give its folder"):
        records = pydicom.dcmread(path).get("DirectoryRecordSequence") or []
        listed = [_parts(record.ReferencedFileID) for record in records if record.get("ReferencedFileID")]
        kinds = [str(record.get("DirectoryRecordType")) for record in records if record.get("ReferencedFileID")]
    images = [parts for parts, kind in zip(listed, kinds, strict=True) if kind in ("IMAGE", "PRIVATE")]
    if not images:
        raise UserError(f"'{path}' lists no image: give its folder.", path=path)
    for parts in images:
        if any(part in ("", ".", "..") or "/" in part or "\\" in part for part in parts):
            raise UserError(f"'{path}' lists a file outside of its folder: give its folder.", path=path)
        yield _present(path.parent, parts)


def _parts(value: Any) -> list[str]:
    return [str(part).strip() for part in ([value] if isinstance(value, str) else value)]


def _present(folder: Path, parts: list[str]) -> Path:
    """Return the path as it is spelled on the disk: systems differ in upper and lower case."""
    for part in parts:
        path = folder / part
        if not path.exists() and folder.is_dir():
            same = (other for other in sorted(folder.iterdir()) if other.name.casefold() == part.casefold())
            path = next(same, path)
        folder = path
    return folder
