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

from bus_monai.dicom.codestream import (
    Codestream,
    PixelError,
    Span,
    fragments_of,
    group_fragments,
    read_codestream,
    read_rle,
)
from bus_monai.io.budget import Budget
from bus_monai.io.opened import OpenedSource

COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
MAX_PADDING = 3
"""Bytes behind the last pixel that may be there and mean nothing; more may, if 0 and less than a row or a column."""
UNDEFINED = 0xFFFFFFFF


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
        has_overlay: whether something else is drawn in bits that are not used.
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
    has_overlay: bool
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
        PixelError: there are none, or they do not fit to the header.
    """
    header = source.header
    start, length = _find_pixels(source)
    fragments = list(fragments_of(source, start)) if length == UNDEFINED else []
    if length == UNDEFINED and len(fragments) < 2:
        raise PixelError("it holds no pixels")
    declared = replace(_declared(header, _first_image(source, fragments[1:])), start=start, length=length)
    Budget.current().check_frames(source.path, declared.frames, declared.rows, declared.columns)
    if length == UNDEFINED:
        found = _compressed(source, declared, fragments)
    else:
        found = _plain(source.content, declared, says_frames="NumberOfFrames" in header)
    if found.frames != declared.frames:
        said = header.get("NumberOfFrames")
        says = "is missing" if said in (None, "") else f"says {said}"
        note = f"NumberOfFrames {says}, but {found.frames} frames are there: all are read"
        found = replace(found, notes=(*found.notes, note))
    Budget.current().check_frames(source.path, found.frames, found.rows, found.columns)
    return found


def _declared(header: Dataset, found: Codestream | None) -> PixelLayout:
    """Return what the header says, or of compressed pixels what their first image says of itself."""
    said = {word: int(header.get(word) or 0) for word in ("Rows", "Columns", "BitsAllocated", "BitsStored")}
    known = dict(said)
    interpretation = str(header.get("PhotometricInterpretation") or "").strip().upper()
    samples = int(header.get("SamplesPerPixel") or (3 if interpretation in COLORS else 1))
    if found is not None:
        known = {
            "Rows": found.rows,
            "Columns": found.columns,
            "BitsAllocated": 8 if found.bits <= 8 else 16 if found.bits <= 16 else 32,
            "BitsStored": found.bits,
        }
        if found.components != samples:
            samples = found.components
            interpretation = "RGB" if samples == 3 else "MONOCHROME2"
    missing = next((word for word, value in known.items() if not value and word != "BitsStored"), None)
    if missing:
        raise PixelError(f"it does not say {missing}")
    size, true_size = ((of["Rows"], of["Columns"]) for of in (said, known))
    note = f"Rows and Columns are {true_size[0]} and {true_size[1]}, not {size[0]} and {size[1]}"
    bits = known["BitsAllocated"]
    stored = known["BitsStored"] or bits
    if bits not in (1, 8, 16, 32, 64) or not 1 <= stored <= bits or samples not in (1, 3):
        raise PixelError(f"it says {samples} samples of {bits} bits, {stored} of them used, which no image has")
    return PixelLayout(
        rows=known["Rows"],
        columns=known["Columns"],
        frames=int(header.get("NumberOfFrames") or 1),
        samples=samples,
        interpretation=interpretation or ("MONOCHROME2" if samples == 1 else "RGB"),
        is_planar=samples > 1 and int(header.get("PlanarConfiguration") or 0) == 1,
        bits=bits,
        stored=stored,
        is_signed=int(header.get("PixelRepresentation") or 0) == 1 or (found is not None and found.is_signed),
        has_overlay=_has_overlay(header, stored),
        is_little=header.original_encoding[1] is not False,
        is_swapped=False,
        start=0,
        length=0,
        notes=(note,) if size != true_size else (),
    )


OVERLAY_GROUPS = range(0x6000, 0x6020, 2)


def _has_overlay(header: Dataset, stored: int) -> bool:
    """Tell whether an overlay lies in the bits of the pixels that are not used, as it did before 2004."""
    places = (header.get((group, 0x0102)) for group in OVERLAY_GROUPS if (group, 0x3000) not in header)
    return any(place is not None and int(place.value or 0) >= stored for place in places)


_FLOATING = ((0x7FE0, 0x0008), (0x7FE0, 0x0009))


def _find_pixels(source: OpenedSource) -> Span:
    """Return position and length of the pixels; the length is ``UNDEFINED`` of compressed ones."""
    file = source.content
    file.seek(source.pixels_at)
    head = file.read(12)
    _, little = source.header.original_encoding
    order = "<" if little is not False else ">"
    tag = struct.unpack(order + "HH", head[:4]) if len(head) >= 8 else (0, 0)
    if tag in _FLOATING:
        raise PixelError("its pixels are floating-point numbers, which ultrasound has not")
    if tag != (0x7FE0, 0x0010):
        raise PixelError("it holds no pixels")
    at = source.pixels_at + 8
    # files contradict their transfer syntax; as a length these letters would be odd, which none is
    if head[4:6] in (b"OB", b"OW", b"UN") and len(head) == 12:
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
            return _checked_size(file, _checked_color(file, layout))
    counted = [replace(layout, frames=count) for layout in candidates if (count := _count(file, layout)) > 0]
    longer = [layout for layout in counted if layout.frames > declared.frames]
    if len(longer) == 1 and not _is_other_layout(file, longer[0]):
        return _checked_color(file, longer[0])
    need = candidates[0].frame_bits * declared.frames / 8
    if declared.length < need and (says_frames and declared.frames > 1):
        return candidates[0]  # those that are there are read
    if declared.length < need:
        raise PixelError(f"its pixels end after {declared.length:,} of {int(need):,} bytes")
    raise PixelError(
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


MIN_SMOOTHER = 0.8
"""Share of the steps from row to row that is left where rows and columns change places, if these are swapped."""
MIN_SIDE = 16
"""Rows and columns from which on their steps tell it."""
MAX_ROUGHER = 3
"""Times that a step from row to row is larger than one from column to column."""


def _checked_size(file: BinaryIO, layout: PixelLayout) -> PixelLayout:
    """Return the layout with rows and columns as the bytes have them."""
    size = layout.rows * layout.columns
    samples = 1 if layout.is_planar else _stored_samples(layout.samples, layout.interpretation)
    wide = max(1, layout.bits // 8)
    if layout.bits not in (8, 16) or size * samples * wide > SAMPLED_BYTES or layout.is_swapped:
        return layout
    data = _sample(file, layout)[: size * samples * wide]
    # the high byte of words, and the first sample
    plane = data[(wide - 1 if layout.is_little else 0) :: wide * samples]
    if not _is_turned(plane, layout.rows, layout.columns):
        return layout
    note = f"Rows and Columns are {layout.columns} and {layout.rows}, not {layout.rows} and {layout.columns}"
    return replace(layout, rows=layout.columns, columns=layout.rows, notes=(*layout.notes, note))


def _is_turned(plane: NDArray[np.uint8], rows: int, columns: int) -> bool:
    """Tell whether pixels are much more like those below them where rows and columns change places."""
    if rows == columns or len(plane) < rows * columns or min(rows, columns) < MIN_SIDE:
        return False
    values = plane.astype(np.int16)
    beside, said, turned = (np.abs(values[lag:] - values[:-lag]) for lag in (1, columns, rows))
    # in a picture of layers, pixels of one row are alike at any distance
    if turned.mean() >= min(said.mean() * MIN_SMOOTHER, beside.mean() * MAX_ROUGHER):
        return False
    # of the same picture side by side, pixels are alike within a row as it is said, and not from one to the next
    within = np.arange(len(turned)) % columns < columns - rows
    return not within.any() or bool(turned[within].mean() >= turned[~within].mean() * MIN_SMOOTHER)


def _compressed(source: OpenedSource, declared: PixelLayout, fragments: list[Span]) -> PixelLayout:
    spans = group_fragments(source, fragments, declared.frames)
    return replace(declared, frames=max(declared.frames, len(spans)), spans=spans)


def _first_image(source: OpenedSource, fragments: list[Span]) -> Codestream | None:
    """Return what the first compressed image says of itself, ``None`` of pixels that are not compressed."""
    if not fragments:
        return None
    found = read_codestream(b"".join(_read(source.content, span) for span in fragments[:4])[: 1 << 20])
    if found is None and source.header.file_meta.get("TransferSyntaxUID") == RLELossless:
        rows, columns = int(source.header.get("Rows") or 0), int(source.header.get("Columns") or 0)
        if not rows or not columns:
            return None
        Budget.current().check_frame(source.path, rows, columns)
        source.content.seek(fragments[0][0])
        packed = read_rle(source.content.read(fragments[0][1]), rows, columns)
        if packed is not None:
            found, plane = packed
            is_turned = _is_turned(np.frombuffer(plane, np.uint8), rows, columns)
            return replace(found, rows=columns, columns=rows) if is_turned else found
    return found


def _read(file: BinaryIO, span: Span) -> bytes:
    file.seek(span[0])
    return file.read(min(span[1], 1 << 20))
