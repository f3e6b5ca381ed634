"""What the pixels of a DICOM file are: its header, checked against the bytes that are there."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from bus_monai.dicom.codestream import Codestream, read_codestream
from bus_monai.io.budget import Budget
from bus_monai.io.opened import OpenedSource

COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
MAX_PADDING = 3
"""Bytes behind the last pixel that may be there and mean nothing; more may, if 0 and less than a row or a column."""
MAX_FRAGMENTS = 1_000_000
"""Of compressed pixels."""
UNDEFINED = 0xFFFFFFFF
Span = tuple[int, int]


@dataclass(frozen=True)
class PixelLayout:
    """The pixels of a file as they are stored.

    Args:
        rows: of a frame.
        columns: of a frame.
        frames: that are there, or that the header promises where that is more.
        samples: of a pixel, 1 or 3.
        interpretation: color model, as DICOM names it.
        is_planar: whether the colors of a frame lie one behind the other.
        bits: that a sample takes, 1, 8, 16, 32 or 64.
        stored: bits of a sample that are used.
        is_signed: whether values may be negative.
        is_little: whether the first byte of several is the lowest.
        is_swapped: whether bytes of 8 bits are swapped in pairs, as in words of big endian.
        start: position of the first byte of the pixels.
        length: of the pixels in bytes, without what is missing in the file.
        spans: of the compressed frames, position and length of each fragment; empty of pixels that are not compressed.
        notes: what of the header is wrong, in words.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    interpretation: str
    is_planar: bool
    bits: int
    stored: int
    is_signed: bool
    is_little: bool
    is_swapped: bool
    start: int
    length: int
    spans: tuple[tuple[Span, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def top(self) -> int:
        """Largest value of up to 8 bits."""
        return int(2 ** min(self.stored, 8)) - 1

    @property
    def is_ybr(self) -> bool:
        """Whether the first sample is the luma."""
        return self.interpretation.startswith(("YBR_FULL", "YBR_PARTIAL"))

    @property
    def frame_bits(self) -> int:
        """Bits that a frame takes where it is not compressed."""
        return self.rows * self.columns * self.bits * _stored_samples(self.samples, self.interpretation)


def _stored_samples(samples: int, interpretation: str) -> int:
    # of 4:2:2 two pixels share their chroma
    return 2 if interpretation.endswith("_422") else samples


def pixel_layout(source: OpenedSource) -> PixelLayout:
    """Tell how the pixels are stored: where the header contradicts the bytes and these decide, they count.

    Raises:
        UserError: there are too many pixels.
        ValueError: there are none, or they do not fit to the header.
    """
    header = source.header
    declared = _declared(header)
    Budget.current().check_frames(source.path, declared.frames, declared.rows, declared.columns)
    start, length = _find_pixels(source)
    declared = replace(declared, start=start, length=length)
    if length == UNDEFINED:
        found = _compressed(source, declared, header)
    else:
        found = _plain(source.content, declared, says_frames="NumberOfFrames" in header)
    if found.frames != declared.frames:
        note = f"NumberOfFrames says {declared.frames}, but {found.frames} frames are there: all are read"
        found = replace(found, notes=(*found.notes, note))
    Budget.current().check_frames(source.path, found.frames, found.rows, found.columns)
    return found


def _declared(header: Dataset) -> PixelLayout:
    words = ("Rows", "Columns", "BitsAllocated")
    missing = next((word for word in words if header.get(word) in (None, "")), None)
    if missing:
        raise ValueError(f"it does not say {missing}")
    interpretation = str(header.get("PhotometricInterpretation") or "").strip().upper()
    samples = int(header.get("SamplesPerPixel") or (3 if interpretation in COLORS else 1))
    bits = int(header.BitsAllocated)
    stored = int(header.get("BitsStored") or bits)
    if bits not in (1, 8, 16, 32, 64) or not 1 <= stored <= bits or samples not in (1, 3):
        raise ValueError(f"it says {samples} samples of {bits} bits, {stored} of them used, which no image has")
    return PixelLayout(
        rows=int(header.Rows),
        columns=int(header.Columns),
        frames=int(header.get("NumberOfFrames") or 1),
        samples=samples,
        interpretation=interpretation or ("MONOCHROME2" if samples == 1 else "RGB"),
        is_planar=samples > 1 and int(header.get("PlanarConfiguration") or 0) == 1,
        bits=bits,
        stored=stored,
        is_signed=int(header.get("PixelRepresentation") or 0) == 1,
        is_little=header.original_encoding[1] is not False,
        is_swapped=False,
        start=0,
        length=0,
    )


def _find_pixels(source: OpenedSource) -> Span:
    """Return position and length of the pixels; the length is ``UNDEFINED`` of compressed ones."""
    file = source.content
    file.seek(source.pixels_at)
    head = file.read(12)
    implicit, little = source.header.original_encoding
    order = "<" if little is not False else ">"
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != (0x7FE0, 0x0010):
        raise ValueError("it holds no pixels")
    at = source.pixels_at + 8
    if not implicit and len(head) == 12:
        (length,) = struct.unpack(order + "L", head[8:12])
        at += 4
    else:
        (length,) = struct.unpack(order + "L", head[4:8])
    if length == UNDEFINED:
        return at, length
    end = file.seek(0, 2)
    return at, min(length, max(0, end - at))


def _plain(file: BinaryIO, declared: PixelLayout, *, says_frames: bool) -> PixelLayout:
    """Choose the layout, of those that the header may mean, whose frames fill the bytes."""
    swapped = not declared.is_little and declared.bits == 8 and _is_words(file, declared)
    declared = replace(declared, is_swapped=swapped)
    candidates = list(_meant(declared))
    for layout in candidates:
        if _fits(file, layout, layout.frames):
            return _checked_color(file, layout)
    counted = [replace(layout, frames=count) for layout in candidates if (count := _count(file, layout)) > 0]
    longer = [layout for layout in counted if layout.frames > declared.frames]
    if len(longer) == 1 and not _is_other_layout(file, longer[0]):
        return _checked_color(file, longer[0])
    need = candidates[0].frame_bits * declared.frames / 8
    if declared.length < need and (says_frames and declared.frames > 1):
        return candidates[0]  # those that are there are read
    if declared.length < need:
        raise ValueError(f"its pixels end after {declared.length:,} of {int(need):,} bytes")
    raise ValueError(
        f"it has {declared.length:,} bytes of pixels, but {declared.frames} frames of {declared.rows} x "
        f"{declared.columns} pixels in {declared.interpretation} take {int(need):,}"
    )


def _is_words(file: BinaryIO, declared: PixelLayout) -> bool:
    file.seek(declared.start - 8)
    return file.read(2) == b"OW"


def _meant(declared: PixelLayout) -> Iterator[PixelLayout]:
    model = declared.interpretation
    if model in COLORS and declared.samples == 1:
        yield replace(declared, samples=3)
        yield replace(declared, interpretation="MONOCHROME2")
    elif model not in COLORS and declared.samples == 3:
        yield replace(declared, interpretation="RGB")
        yield replace(declared, samples=1, is_planar=False)
    else:
        yield declared
    if model.endswith("_422"):
        yield replace(declared, samples=3, interpretation=model.removesuffix("_422"))
    elif model == "YBR_FULL":
        yield replace(declared, samples=3, interpretation="YBR_FULL_422", is_planar=False)


def _fits(file: BinaryIO, layout: PixelLayout, frames: int) -> bool:
    need = -(-layout.frame_bits * frames // 8)
    rest = layout.length - need
    if rest < 0:
        return False
    if rest <= MAX_PADDING:
        return True
    row = layout.frame_bits // 8 // max(1, layout.rows)
    if rest >= min(row, layout.rows):
        return False
    file.seek(layout.start + need)
    return not any(file.read(rest))


def _count(file: BinaryIO, layout: PixelLayout) -> int:
    count = layout.length * 8 // max(1, layout.frame_bits)
    return count if count and _fits(file, layout, count) else 0


EQUAL_SHARE = 0.9
"""Of the pixels that are not black, whose three samples are equal in a gray picture that is stored in color."""
SAMPLED_BYTES = 1 << 22


def _is_other_layout(file: BinaryIO, layout: PixelLayout) -> bool:
    """Tell whether bytes that seem to be further frames of 8 bits are rather further samples, or higher bytes."""
    if layout.bits != 8 or layout.samples != 1:
        return False
    data = _sample(file, layout)
    if layout.frames % 3 == 0 and _gray_share(data[: len(data) // 3 * 3].reshape(-1, 3)) > EQUAL_SHARE:
        return True
    values = data.astype(np.int16)
    # of words, a byte is more like the one after next than like its neighbor
    one, two = (int(np.abs(values[lag:] - values[:-lag]).sum()) for lag in (1, 2))
    return layout.frames % 2 == 0 and two < one * 0.8


def _sample(file: BinaryIO, layout: PixelLayout) -> NDArray[np.uint8]:
    file.seek(layout.start)
    return np.frombuffer(file.read(min(layout.length, SAMPLED_BYTES)), np.uint8)


def _gray_share(triples: NDArray[np.uint8]) -> float:
    lit = triples[triples.any(axis=1)]
    if len(lit) < 16:
        return 0.0
    return float((np.ptp(lit, axis=1) == 0).mean())


def _checked_color(file: BinaryIO, layout: PixelLayout) -> PixelLayout:
    """Return the layout with its colors one behind the other, or not, as the bytes of a gray picture have it."""
    size = layout.rows * layout.columns
    if layout.samples != 3 or layout.bits != 8 or layout.interpretation != "RGB" or 3 * size > SAMPLED_BYTES:
        return layout
    data = _sample(file, layout)[: 3 * size]
    if len(data) < 3 * size:
        return layout
    mixed, planar = _gray_share(data.reshape(-1, 3)), _gray_share(data.reshape(3, -1).T)
    if layout.is_planar and mixed > EQUAL_SHARE and planar < 1 - EQUAL_SHARE:
        return replace(layout, is_planar=False, notes=(*layout.notes, "PlanarConfiguration is 0, not 1"))
    if not layout.is_planar and planar > EQUAL_SHARE and mixed < 1 - EQUAL_SHARE:
        return replace(layout, is_planar=True, notes=(*layout.notes, "PlanarConfiguration is 1, not 0"))
    return layout


def _compressed(source: OpenedSource, declared: PixelLayout, header: Dataset) -> PixelLayout:
    fragments = list(_fragments(source, declared.start))
    offsets = _offsets(source, fragments[0]) if fragments else ()
    fragments = fragments[1:]
    if not fragments:
        raise ValueError("it holds no pixels")
    starts = _starts(source, fragments, header)
    spans = _grouped(fragments, starts, offsets, declared.frames, _extended(header))
    source.content.seek(spans[0][0][0])
    found = read_codestream(b"".join(_read(source.content, span) for span in spans[0][:4])[: 1 << 20])
    layout = replace(declared, frames=max(declared.frames, len(spans)), spans=spans)
    return layout if found is None else _colored(layout, found)


def _read(file: BinaryIO, span: Span) -> bytes:
    file.seek(span[0])
    return file.read(min(span[1], 1 << 20))


def _fragments(source: OpenedSource, at: int) -> Iterator[Span]:
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
    raise ValueError("it has too many fragments")


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


def _colored(layout: PixelLayout, found: Codestream) -> PixelLayout:
    """Return the layout with the samples that the first frame has."""
    if found.components == 1 and layout.samples != 1:
        return replace(layout, samples=1, interpretation="MONOCHROME2", is_planar=False)
    if found.components == 3 and layout.samples != 3:
        return replace(layout, samples=3, interpretation="RGB")
    return layout
