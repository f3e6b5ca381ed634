"""The pieces of compressed pixels in a DICOM file, and which of them make up a frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from bus_monai.dicom.codestream import PixelError
from bus_monai.io.opened import OpenedSource

MAX_FRAGMENTS = 1_000_000
"""Of compressed pixels."""
Span = tuple[int, int]
"""Position and length."""


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


_HEADS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ", b"\xff\x0a")


def _starts(source: OpenedSource, fragments: list[Span], header: Dataset) -> list[int]:
    """Return the numbers of the fragments that begin a frame, as far as their bytes tell."""
    if header.file_meta.get("TransferSyntaxUID") == RLELossless:
        return list(range(len(fragments)))  # DICOM PS3.5 A.4.2
    found = []
    for number, (at, length) in enumerate(fragments):
        source.content.seek(at)
        if source.content.read(min(12, length)).startswith(_HEADS):
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
