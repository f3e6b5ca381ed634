"""What the compressed pixels of a DICOM file say of themselves, read before a decoder allocates for it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from bus_monai.errors import UserError
from bus_monai.io.budget import Budget
from bus_monai.io.opened import OpenedSource

MAX_COMPONENTS = 4
"""Of a pixel: DICOM knows one, three, and four of retired color models."""
MAX_SCANS = 1000
"""Of a JPEG: progressive ones have some ten, each of which takes the time of the whole image."""
MAX_TILES = 65_535
"""Of JPEG 2000, as its tiles are numbered."""
MAX_FRAGMENTS = 1_000_000
"""Of compressed pixels."""
Span = tuple[int, int]
"""Position and length."""
NO_BOMB = 1 << 26
"""Bytes that a segment of RLE may always unpack to."""
LUT_ENTRIES = 1 << 16
"""Of a table of colors, DICOM PS3.3 C.7.6.3.1.5."""


FRAME_HEADS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ", b"\xff\x0a")
"""First bytes of a compressed frame: JPEG, JPEG 2000 without and with boxes, JPEG XL."""


class PixelError(ValueError):
    """Pixels are not what the header says, which no conversion corrects."""


@dataclass(frozen=True)
class Codestream:
    """The size that compressed pixels declare.

    Args:
        rows: of the image that a decoder makes.
        columns: of that image.
        components: of a pixel.
        kind: ``dct``, ``lossless`` or ``ls`` of JPEG, ``2000``.
        bits: of a component.
        is_signed: whether values may be negative.
        has_luma: whether a decoder makes RGB of luma and chroma, ``None`` where the image does not say.
    """

    rows: int
    columns: int
    components: int
    kind: str = ""
    bits: int = 8
    is_signed: bool = False
    has_luma: bool | None = None


def read_codestream(encoded: bytes) -> Codestream | None:
    """Read the head of a JPEG, JPEG-LS or JPEG 2000 image; ``None`` where it is none of them or has no size.

    Example:
        >>> from io import BytesIO
        >>> from PIL import Image
        >>> file = BytesIO()
        >>> Image.new("L", (30, 20)).save(file, "JPEG")
        >>> read_codestream(file.getvalue())
        Codestream(rows=20, columns=30, components=1, kind='dct', bits=8, is_signed=False, has_luma=True)
    """
    try:
        if encoded[:2] == b"\xff\xd8":
            return _jpeg(encoded)
        # bare, or after the boxes of a JP2 file
        start = 0 if encoded[:4] == _SIZ else encoded.find(_SIZ) if encoded[4:8] == b"jP  " else -1
        return _jpeg2000(encoded, start) if start >= 0 else None
    except (struct.error, IndexError):
        return None


_SIZ = b"\xff\x4f\xff\x51"
_SCAN, _DATA, _END = b"\xff\xda", b"\xff\x93", b"\xff\xd9"
"""Begin of the pixels of JPEG and of JPEG 2000, and end of both."""
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})


def _jpeg(encoded: bytes) -> Codestream | None:
    at = 2
    has_luma: bool | None = None
    while True:
        if encoded[at] != 0xFF:
            return None
        marker = encoded[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker in _NO_LENGTH:
            at += 2
            continue
        if marker in (0xD9, 0xDA):
            return None
        if (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME) or marker == 0xF7:
            bits, rows, columns, components = struct.unpack_from(">BHHB", encoded, at + 4)
            kind = "ls" if marker == 0xF7 else "lossless" if marker in _LOSSLESS else "dct"
            if has_luma is None and components == 3 and encoded[at + 10 : at + 19 : 3] == b"RGB":
                has_luma = False
            return Codestream(rows, columns, components, kind, bits, has_luma=has_luma)
        has_luma = _color_of(encoded[at + 4 : at + 18], marker, has_luma)
        at += 2 + int(struct.unpack_from(">H", encoded, at + 2)[0])


_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})


def _color_of(segment: bytes, marker: int, before: bool | None) -> bool | None:
    """Return what a segment says of luma and chroma, as libjpeg takes it; what stood before where it says nothing."""
    if marker == 0xEE and segment[:5] == b"Adobe" and len(segment) > 11:
        return segment[11] != 0
    if marker == 0xE0 and segment[:5] == b"JFIF\0":
        return True
    return before


def _jpeg2000(encoded: bytes, start: int) -> Codestream | None:
    right, bottom, left, top, width, height, across, down = struct.unpack_from(">8L", encoded, start + 8)
    (components,) = struct.unpack_from(">H", encoded, start + 40)
    if not width or not height or right <= left or bottom <= top:
        return None
    if -(-(right - across) // width) * -(-(bottom - down) // height) > MAX_TILES:
        return None
    bits = (encoded[start + 42] & 0x7F) + 1
    return Codestream(bottom - top, right - left, components, "2000", bits, bool(encoded[start + 42] & 0x80))


def read_rle(encoded: bytes, rows: int, columns: int) -> tuple[Codestream, bytes] | None:
    """Tell what a frame of RLE holds, of which the number of pixels is known, DICOM PS3.5 G.

    Returns:
        What it is, and its first bytes of each pixel; ``None`` where it is no RLE.

    Raises:
        PixelError: it holds more or fewer pixels.
    """
    segments = int.from_bytes(encoded[:4], "little") if len(encoded) >= 64 else 0
    if segments not in _RLE_KINDS:
        return None
    start, end = struct.unpack_from("<2L", encoded, 4)
    size = rows * columns
    plane = _rle_bytes(encoded, start, min(end, len(encoded)) if segments > 1 else len(encoded), 2 * size)
    if not 0 <= len(plane) - size <= MAX_RLE_PADDING:
        raise PixelError(f"it holds {len(plane):,} pixels, but {rows} x {columns} are {size:,}")
    components, bits = _RLE_KINDS[segments]
    return Codestream(rows, columns, components, "rle", bits), bytes(plane[:size])


_RLE_KINDS = {1: (1, 8), 2: (1, 16), 3: (3, 8), 6: (3, 16)}
"""Components and bits, by the number of segments."""
MAX_RLE_PADDING = 2
"""Bytes that a segment may unpack to more than a frame has pixels."""


def check_encoded(path: Path, encoded: bytes, syntax: str | None, rows: int, columns: int) -> None:
    """Check that an encoded frame is as large as it should be, before it is decoded.

    Args:
        path: of the file, for the sentence.
        encoded: one frame.
        syntax: transfer syntax of the file.
        rows: of each frame.
        columns: of each frame.

    Raises:
        UserError: it declares another size or more components, would unpack to more, or has no end.
    """
    if syntax == RLELossless and encoded[:1] != b"\xff":
        _check_rle(path, encoded, rows * columns)
        return
    if encoded.count(b"\xff\xda") > MAX_SCANS and encoded[:2] == b"\xff\xd8":
        raise _broken(path, f"has more than {MAX_SCANS} scans in a frame")
    found = read_codestream(encoded)
    if found is None:
        # of another kind, whose decoders read the header's size alone, or broken
        if encoded[:2] == b"\xff\xd8" or _SIZ in encoded[:4096]:
            raise _broken(path, "has a frame without a valid size")
        return
    if (found.rows, found.columns) != (rows, columns):
        Budget.current().check_frame(path, found.rows, found.columns)
        raise _broken(path, f"has a frame of {found.rows} x {found.columns} pixels where {rows} x {columns} are due")
    if found.components > MAX_COMPONENTS:
        raise _broken(path, f"has {found.components} values per pixel")
    # decoders fill up what is missing, and zeros in its place are pixels to them
    if encoded.rfind(_END) < encoded.find(_SCAN if encoded[:2] == b"\xff\xd8" else _DATA):
        raise _broken(path, "has a frame that is cut off")


def _check_rle(path: Path, encoded: bytes, size: int) -> None:
    segments = min(int(struct.unpack("<L", encoded[:4])[0]), 15) if len(encoded) >= 64 else 0
    starts = [*struct.unpack_from(f"<{segments}L", encoded, 4), len(encoded)] if segments else []
    for start, end in pairwise(starts):
        # two bytes make 128 at most: what cannot be too much need not be counted
        length = max(0, min(end, len(encoded)) - start)
        if 64 * length > NO_BOMB and _rle_length(encoded, start, min(end, len(encoded)), 2 * size) > 2 * size:
            raise _broken(path, f"has a frame that unpacks to more than its {size:,} pixels")


def _rle_length(encoded: bytes, at: int, end: int, most: int) -> int:
    """Count what a segment unpacks to, up to some, DICOM PS3.5 G.3."""
    length = 0
    while at < end and length <= most:
        head = encoded[at]
        if head < 128:
            length += head + 1
            at += head + 2
        else:
            length += 257 - head if head > 128 else 0
            at += 2 if head > 128 else 1
    return length


def _rle_bytes(encoded: bytes, at: int, end: int, most: int) -> bytearray:
    """Unpack a segment, up to some length."""
    unpacked = bytearray()
    while at < end and len(unpacked) <= most:
        head = encoded[at]
        if head < 128:
            unpacked += encoded[at + 1 : min(at + 2 + head, end)]
            at += head + 2
        else:
            unpacked += encoded[at + 1 : at + 2] * (257 - head if head > 128 else 0)
            at += 2 if head > 128 else 1
    return unpacked


def check_color_tables(path: Path, header: Dataset) -> None:
    """Check that segmented tables of colors unpack to no more entries than a table may have.

    Raises:
        UserError: one has more.
    """
    order = "<" if header.original_encoding[1] else ">"
    for color in ("Red", "Green", "Blue"):
        keyword = f"Segmented{color}PaletteColorLookupTableData"
        if keyword in header:
            words = header[keyword].value
            wide = int(header[f"{color}PaletteColorLookupTableDescriptor"].value[2]) > 8
            data = struct.unpack(f"{order}{len(words) // 2}H", words[: len(words) // 2 * 2]) if wide else tuple(words)
            if any(total > LUT_ENTRIES for total in accumulate(_segments(data, wide))):
                raise _broken(path, f"has a table of more than {LUT_ENTRIES:,} colors")


def _segments(data: Sequence[int], wide: bool, at: int = 0, most: int | None = None) -> Iterator[int]:
    """Yield the lengths of segments; those that another one refers to may refer to no more, DICOM PS3.3 C.7.9.2."""
    seen = 0
    while at + 1 < len(data) and (most is None or seen < most):
        kind, length = data[at], data[at + 1]
        at, seen = at + 2, seen + 1
        if kind != 2:
            yield length
            at += length if kind == 0 else 1
        elif most is not None:
            yield LUT_ENTRIES + 1
        else:
            words = data[at : at + (2 if wide else 4)]
            offset = sum(word << (16 if wide else 8) * place for place, word in enumerate(words))
            yield from _segments(data, wide, offset, length)
            at += len(words)


def _broken(path: Path, what: str) -> UserError:
    return UserError(f"'{path}' {what}: copy the file again or remove it.", path=path)


def group_fragments(source: OpenedSource, fragments: list[Span], frames: int) -> tuple[tuple[Span, ...], ...]:
    """Divide the items of compressed pixels, the table of offsets first, among frames; more than promised may come.

    Args:
        source: the file.
        fragments: all that :func:`fragments_of` yields.
        frames: that the header promises.
    """
    offsets = _offsets(source, fragments[0])
    starts = _starts(source, fragments[1:], source.header)
    return _grouped(fragments[1:], starts, offsets, frames, _extended(source.header))


def fragments_of(source: OpenedSource, at: int) -> Iterator[Span]:
    """Yield position and length of the items of compressed pixels, the table of offsets first."""
    file = source.content
    end = file.seek(0, 2)
    for _ in range(MAX_FRAGMENTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"\xfe\xff\x00\xe0":
            return
        (length,) = struct.unpack("<L", head[4:])
        at += 8
        yield at, min(length, max(0, end - at))
        if length > end - at:
            return
        at += length
    raise PixelError("it has too many fragments")


def _offsets(source: OpenedSource, table: Span) -> tuple[int, ...]:
    source.content.seek(table[0])
    data = source.content.read(min(table[1], 4 * MAX_FRAGMENTS))
    return struct.unpack(f"<{len(data) // 4}L", data[: len(data) // 4 * 4])


def _extended(header: Dataset) -> tuple[int, ...]:
    table = header.get("ExtendedOffsetTable")
    if not isinstance(table, bytes):
        return ()
    return struct.unpack(f"<{len(table) // 8}Q", table[: len(table) // 8 * 8])


def _starts(source: OpenedSource, fragments: list[Span], header: Dataset) -> list[int]:
    """Return the numbers of the fragments that begin a frame, as far as their bytes tell."""
    if header.file_meta.get("TransferSyntaxUID") == RLELossless:
        return list(range(len(fragments)))  # DICOM PS3.5 A.4.2
    found = []
    for number, (at, length) in enumerate(fragments):
        source.content.seek(at)
        if source.content.read(min(12, length)).startswith(FRAME_HEADS):
            found.append(number)
    return found


def _grouped(
    fragments: list[Span], starts: list[int], offsets: tuple[int, ...], frames: int, extended: tuple[int, ...]
) -> tuple[tuple[Span, ...], ...]:
    """Divide fragments among frames: by the table of offsets, or by what begins a frame where there are more such."""
    by_offset = {at - 8 - (fragments[0][0] - 8): number for number, (at, _) in enumerate(fragments)}
    table = [by_offset[offset] for offset in (extended or offsets) if offset in by_offset]
    if len(fragments) == frames:
        begins = list(range(frames))
    elif len(starts) > max(frames, len(table)) or (not table and len(starts) >= frames):
        begins = starts
    elif len(table) >= frames or len(table) > len(starts):
        begins = table
    elif frames == 1:
        begins = [0]
    else:
        begins = starts or [0]
    ends = [*begins[1:], len(fragments)]
    if begins[0] != 0:
        begins[0] = 0
    return tuple(tuple(fragments[begin:end]) for begin, end in zip(begins, ends, strict=True))
