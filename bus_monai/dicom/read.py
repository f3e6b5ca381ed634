"""Frames of DICOM ultrasound as gray values, what identifies an object, and how decoders keep it to themselves."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, get_frame
from pydicom.filereader import read_partial
from pydicom.pixels import iter_pixels, pixel_array
from pydicom.pixels.processing import apply_color_lut
from pydicom.tag import Tag
from pydicom.uid import JPEGBaseline8Bit, MediaStorageDirectoryStorage, SegmentationStorage

from bus_monai.dicom.codestream import check_color_tables, check_encoded
from bus_monai.dicom.regions import TWO_DIMENSIONAL_CODE, tissue_boxes
from bus_monai.errors import UserError, reading
from bus_monai.io.budget import Budget
from bus_monai.io.image import LUMA_WEIGHTS, SourceImage
from bus_monai.io.opened import OpenedSource, open_source

IDENTIFIERS = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "AccessionNumber")
MIN_IDENTIFIER_LENGTH = 3
"""Characters of an identifier that is looked for: shorter ones are parts of common words."""


def read_modality(source: OpenedSource) -> str:
    """Return the modality, such as ``US``; ``DICOMDIR`` for a directory; empty where the file does not say."""
    header = _header_or_nothing(source)
    directory = getattr(header, "file_meta", Dataset()).get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
    return "DICOMDIR" if directory else _text(header, "Modality")


def without_identifiers(text: str, source: OpenedSource) -> str:
    """Replace what identifies the patient of a file, which a decoder's message may quote, by an ellipsis."""
    header = _header_or_nothing(source)
    for keyword in IDENTIFIERS:
        value = _text(header, keyword)
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


def _text(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip()
    except Exception:  # values are decoded when they are asked for
        return ""


ENCAPSULATED_HEAD = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"
"""Head of compressed pixel data: tag, representation, undefined length. DICOM PS3.5 A.4."""


def has_jpeg_luma(header: Dataset) -> bool:
    """Whether the frames are JPEG baseline with luma and chroma apart; frames coded as RGB have no luma to take."""
    return (
        header.file_meta.get("TransferSyntaxUID") == JPEGBaseline8Bit
        and str(header.get("PhotometricInterpretation")).startswith("YBR_FULL")
        and header.get("BitsStored") == 8
    )


def read_luma(source: OpenedSource, index: int) -> NDArray[np.uint8]:
    """Read the luma (H, W) of one frame; no other frame is read.

    Raises:
        Exception: the frame is not there or broken; Pillow and pydicom have many kinds.
    """
    header = _to_pixels(source)
    frames = int(header.get("NumberOfFrames") or 1)
    encoded = get_frame(source.file, index, number_of_frames=frames, extended_offsets=_offsets(header))
    return _decode(source.path, encoded, header)


def iterate_luma(source: OpenedSource) -> Iterator[NDArray[np.uint8]]:
    """Yield the luma (H, W) of the frames that are there, one in memory at a time.

    Raises:
        Exception: a frame is broken; Pillow and pydicom have many kinds.
    """
    header = _to_pixels(source)
    frames = int(header.get("NumberOfFrames") or 1)
    for encoded in generate_frames(source.file, number_of_frames=frames, extended_offsets=_offsets(header)):
        yield _decode(source.path, encoded, header)


def _check_pixels(source: OpenedSource, header: Dataset, index: int | None = None) -> None:
    """Check what compressed frames, or one of them, and tables of colors declare, before anything is decoded."""
    check_color_tables(source.path, header)
    if not header.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frames = int(header.get("NumberOfFrames") or 1)
    try:
        _to_pixels(source)
        words: dict[str, Any] = {"number_of_frames": frames, "extended_offsets": _offsets(header)}
        if index is not None:
            check_encoded(source.path, get_frame(source.file, index, **words), header)
            return
        for encoded in islice(generate_frames(source.file, **words), frames):
            check_encoded(source.path, encoded, header)
    except UserError:
        raise
    except Exception:  # noqa: S110 (of some ten kinds; the frames before the broken one can be read, see read_frames)
        pass


def _to_pixels(source: OpenedSource) -> Dataset:
    """Go to the first item of the pixel data and return the header."""
    source.file.seek(source.pixels_at)
    if source.file.read(len(ENCAPSULATED_HEAD)) != ENCAPSULATED_HEAD:
        raise ValueError("the pixels are not encapsulated")
    return source.header


def _offsets(header: Dataset) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" not in header:
        return None
    return header.ExtendedOffsetTable, header.ExtendedOffsetTableLengths


def _decode(path: Path, encoded: bytes, header: Dataset) -> NDArray[np.uint8]:
    check_encoded(path, encoded, header)
    image = Image.open(BytesIO(encoded), formats=["JPEG"])
    if image.size != (header.Columns, header.Rows):
        raise ValueError(f"a frame has {image.height} x {image.width} pixels")
    # leaves chroma out of the decoding; where the JPEG itself says that it holds RGB, the luma is computed
    image.draft("L", image.size)
    if image.mode != "L":
        raise ValueError(f"a frame has the color model {image.mode}")
    return np.asarray(image)


CENTIMETERS_CODE = 3
"""Code of the physical units of an ultrasound region, DICOM PS3.3 C.8.5.5.1.15."""


def read_frame(source: OpenedSource, frame: int = 0) -> SourceImage:
    """Read one frame of an ultrasound object, of any color model and transfer syntax that pydicom decodes.

    Only that frame is read from a cine. Values are divided by the largest that the stored bits, or the palette, allow.

    Raises:
        UserError: the file is broken, too large, holds no pixels, or has no such frame.
    """
    header = _image_header(source)
    with _decoding(source.path):
        frames = int(header.get("NumberOfFrames") or 1)
        spacing = spacing_mm(header)
        _check(source.path, header, frame, frames)
        if has_jpeg_luma(header):
            pixels: NDArray[Any] = read_luma(source, frame)
        else:
            _check_pixels(source, header, frame)
            pixels = _luma(pixel_array(source.file, index=frame, raw=_is_ybr(header)), header)
        gray = _gray(pixels, header)
    return SourceImage(gray, spacing, frame, frames, images=tissue_boxes(header))


def read_frames(source: OpenedSource) -> Iterator[SourceImage]:
    """Read each frame as ``read_frame`` does, one in memory at a time, in one pass through the file.

    Raises:
        UserError: the file is broken, too large, holds no pixels, or frames are missing; those before are yielded.
    """
    header = _image_header(source)
    with _decoding(source.path):
        frames = int(header.get("NumberOfFrames") or 1)
        _check(source.path, header, 0, frames)
        spacing = spacing_mm(header)
    # what the frames themselves declare is checked as the first one is asked for
    with closing(_iterate(source, header)) as decoded:
        for frame in range(frames):
            with _decoding(source.path):
                pixels = next(decoded, None)
                if pixels is None:
                    raise ValueError(f"less than {frames} frames are there")
                gray = _gray(pixels, header)
            yield SourceImage(gray, spacing, frame, frames, images=tissue_boxes(header))


def _iterate(source: OpenedSource, header: Dataset) -> Generator[NDArray[Any], None, None]:
    """Yield the decoded frames that are there: luma, palette or RGB."""
    if has_jpeg_luma(header):
        yield from iterate_luma(source)
    else:
        _check_pixels(source, header)
        with closing(iter_pixels(source.file, raw=_is_ybr(header))) as frames:
            for pixels in frames:
                yield _luma(pixels, header)


def _is_ybr(header: Dataset) -> bool:
    return str(header.get("PhotometricInterpretation")).startswith("YBR_FULL")


def _luma(pixels: NDArray[Any], header: Dataset) -> NDArray[Any]:
    # the first channel of YBR is the luma: no need to convert to RGB and back, which takes most of the time
    return np.asarray(pixels[..., 0] if _is_ybr(header) else pixels)


def _decoding(path: Path) -> AbstractContextManager[None]:
    remedy = "convert the file to an uncompressed transfer syntax, or remove it"
    # each decoder has errors of its own
    return reading(path, "a DICOM image", errors=(Exception,), remedy=remedy)


def count_frames(source: OpenedSource) -> int:
    """Return the number of frames of a file, 0 where it is no image: a report, or a segmentation of one.

    Raises:
        UserError: the file is broken, or has more frames than may be read.
    """
    header = _checked_header(source)
    try:
        if "Rows" not in header or header.get("SOPClassUID") == SegmentationStorage:
            return 0
        frames = int(header.get("NumberOfFrames") or 1)
        Budget.current().check_frames(source.path, frames, int(header.Rows), int(header.Columns))
        return frames
    except UserError:
        raise
    except Exception as error:  # values are decoded when they are asked for
        raise UserError(f"'{source.path}' has no valid NumberOfFrames: copy the file again or remove it.") from error


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


def spacing_mm(header: Dataset) -> tuple[float, float] | None:
    """Return the spacing of rows and columns in mm, or ``None``: it is never invented.

    Two-dimensional ultrasound regions calibrated in centimeters count where all of them agree; else ``PixelSpacing``.
    """
    found = {
        (abs(float(region.PhysicalDeltaY)) * 10, abs(float(region.PhysicalDeltaX)) * 10)
        for region in header.get("SequenceOfUltrasoundRegions") or ()
        if region.get("RegionSpatialFormat") == TWO_DIMENSIONAL_CODE
        and region.get("PhysicalUnitsXDirection") == region.get("PhysicalUnitsYDirection") == CENTIMETERS_CODE
        and "PhysicalDeltaX" in region
        and "PhysicalDeltaY" in region
    }
    if len(found) > 1:
        return None
    if not found and header.get("PixelSpacing"):
        rows, columns = (float(value) for value in header.PixelSpacing)
        found = {(rows, columns)}
    spacing = found.pop() if found else None
    return spacing if spacing is not None and min(spacing) > 0 else None


def _checked_header(source: OpenedSource) -> Dataset:
    if "SOPClassUID" not in source.header:
        raise UserError(f"'{source.path}' is no DICOM object, it has no SOPClassUID: copy the file again or remove it.")
    return source.header


def _image_header(source: OpenedSource) -> Dataset:
    header = _checked_header(source)
    if "Rows" not in header:
        raise UserError(f"'{source.path}' holds no pixels: give an image object.")
    return header


def _check(path: Path, header: Dataset, frame: int, frames: int) -> None:
    Budget.current().check_frames(path, frames, int(header.Rows), int(header.Columns))
    if not 0 <= frame < frames:
        raise UserError(f"'{path}' has {frames} frames: there is no frame {frame}, counted from 0.")


MAX_SAMPLES_AT_ONCE = 12_000_000
"""Samples that are turned into floats at once."""


def _gray(pixels: NDArray[Any], header: Dataset) -> NDArray[np.float32]:
    """Turn decoded pixels, (H, W) or (H, W, 3) in RGB, into luma in [0, 1]; of a large image by bands of rows."""
    if pixels.size <= MAX_SAMPLES_AT_ONCE:
        return _gray_band(pixels, header)
    gray = np.empty(pixels.shape[:2], np.float32)
    rows = max(1, MAX_SAMPLES_AT_ONCE // (pixels.size // len(pixels)))
    for top in range(0, len(pixels), rows):
        gray[top : top + rows] = _gray_band(pixels[top : top + rows], header)
    return gray


def _gray_band(pixels: NDArray[Any], header: Dataset) -> NDArray[np.float32]:
    if header.PhotometricInterpretation == "PALETTE COLOR":
        return _palette_luma(pixels, header)
    top = float(2 ** int(header.BitsStored) - 1)
    values = pixels.astype(np.float32)
    if int(header.get("PixelRepresentation", 0)) and values.ndim == 2:
        values += (top + 1) / 2
    values = values @ LUMA_WEIGHTS if values.ndim == 3 else values
    unit = np.asarray(np.clip(values / np.float32(top), 0, 1), dtype=np.float32)
    return 1 - unit if header.PhotometricInterpretation == "MONOCHROME1" else unit


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
