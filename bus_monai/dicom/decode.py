"""Decode frames of DICOM pixels, one in memory at a time, to gray values."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless

from bus_monai.dicom.calibration import functional_groups
from bus_monai.dicom.codestream import Codestream, PixelError, check_color_tables, check_encoded, read_codestream
from bus_monai.dicom.pixel_layout import PixelLayout
from bus_monai.io.gray import LUMA_WEIGHTS, to_unit_range, windowed
from bus_monai.io.opened import OpenedSource

Decoded = tuple[NDArray[Any], PixelLayout]
"""Pixels (H, W), or (H, W, 3) in RGB, and the layout with the color model that they have."""


def decode_frame(source: OpenedSource, layout: PixelLayout, frame: int) -> Decoded:
    """Decode one frame; no other is read.

    Not by pydicom's ``iter_pixels``: that believes the header where the codestream says otherwise, and turns each frame
    of JPEG to RGB before it can be gray.

    Raises:
        UserError: it would unpack to too much, or contradicts the header.
        Exception: the frame is not there or broken; decoders have many kinds.
    """
    check_color_tables(source.path, source.header)
    if not layout.spans:
        return _native(source, layout, frame)
    if frame >= len(layout.spans):
        raise PixelError(f"less than {layout.frames} frames are there")
    return _compressed(source, layout, _encoded(source, layout, frame))


def _encoded(source: OpenedSource, layout: PixelLayout, frame: int) -> bytes:
    parts = []
    for at, length in layout.spans[frame]:
        source.content.seek(at)
        parts.append(source.content.read(length))
    return b"".join(parts)


def _native(source: OpenedSource, layout: PixelLayout, frame: int) -> Decoded:
    begin, end = (layout.frame_bits * number for number in (frame, frame + 1))
    first, last = begin // 8, -(-end // 8)
    if last > layout.length:
        raise PixelError(f"less than {layout.frames} frames are there")
    odd = first % 2 if layout.is_swapped else 0
    source.content.seek(layout.start + first - odd)
    data = source.content.read(last - first + odd + (1 if layout.is_swapped else 0))
    if layout.is_swapped:
        words = np.frombuffer(data[: len(data) // 2 * 2], "u2").byteswap().tobytes() + data[len(data) // 2 * 2 :]
        data = words[odd:][: last - first]
    if layout.bits == 1:
        values = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[begin - 8 * first :][: end - begin]
        return values.reshape(layout.rows, layout.columns), layout
    kind = np.dtype(f"{'<' if layout.is_little else '>'}u{layout.bits // 8}")
    values = np.frombuffer(data[: last - first], kind)
    values = values.astype(kind.newbyteorder("="), copy=False)
    pixels, layout = _shaped(values, layout)
    return _as_meant(pixels, layout), layout


def _shaped(values: NDArray[Any], layout: PixelLayout) -> Decoded:
    size = (layout.rows, layout.columns)
    if layout.samples == 1:
        return values.reshape(size), layout
    if layout.interpretation.endswith("_422"):
        # two pixels are stored as luma, luma, blue, red
        return values.reshape(-1, 4)[:, :2].reshape(size), layout
    planar = values.reshape(3, *size).transpose(1, 2, 0) if layout.is_planar else values.reshape(*size, 3)
    return _in_color(planar, layout)


DARK = 8
"""Of 255, up to which a sample is black."""
NO_CHROMA = (120, 136)
"""Of 255, around 128, the chroma of gray."""
MIN_DARK_SHARE = 0.01


def _in_color(samples: NDArray[Any], layout: PixelLayout) -> Decoded:
    """Return luma, or RGB, of three samples: black tells one from the other where the header is wrong."""
    if samples.dtype == np.uint8:
        dark = samples[samples[..., 0] <= DARK]
        if len(dark) >= MIN_DARK_SHARE * samples[..., 0].size:
            chroma = dark[:, 1:]
            if layout.is_ybr and (chroma <= DARK).all(axis=1).mean() > 0.9:
                return samples, replace(layout, interpretation="RGB")
            gray = ((chroma >= NO_CHROMA[0]) & (chroma <= NO_CHROMA[1])).all(axis=1)
            if not layout.is_ybr and gray.mean() > 0.9:
                return samples[..., 0], replace(layout, interpretation="YBR_FULL")
    return (samples[..., 0] if layout.is_ybr else samples), layout


def _compressed(source: OpenedSource, layout: PixelLayout, encoded: bytes) -> Decoded:
    syntax = source.header.file_meta.get("TransferSyntaxUID")
    check_encoded(source.path, encoded, syntax, layout.rows, layout.columns)
    found = read_codestream(encoded)
    if found is not None and found.kind == "dct" and found.bits == 8:
        return _jpeg(encoded, found, layout)
    pixels, said = get_decoder(_syntax(source, found)).as_array(
        encapsulate([encoded]), index=0, raw=True, validate=False, **_options(source, layout, found)
    )
    pixels = _as_meant(pixels, layout)
    if pixels.ndim != 3:
        return pixels, layout
    return _in_color(pixels, replace(layout, interpretation=str(said["photometric_interpretation"])))


def _options(source: OpenedSource, layout: PixelLayout, found: Codestream | None) -> dict[str, Any]:
    return {
        "transfer_syntax_uid": source.header.file_meta.TransferSyntaxUID,
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.interpretation,
        # the header's means nothing here (PS3.5 8.2), and decoders whose colors are not mixed say so themselves
        "planar_configuration": 0,
        "bits_allocated": layout.bits,
        # what lies above the bits that are said to be used is not cut off
        "bits_stored": layout.bits if found is None else found.bits,
        "pixel_representation": int(found is not None and found.is_signed),
        "pixel_keyword": "PixelData",
    }


_OF_KIND = {"dct": JPEGBaseline8Bit, "lossless": JPEGLosslessSV1, "ls": JPEGLSLossless, "2000": JPEG2000Lossless}


def _syntax(source: OpenedSource, found: Codestream | None) -> UID:
    """Return the transfer syntax, or that of the bytes where these are of another family."""
    said = source.header.file_meta.get("TransferSyntaxUID")
    if found is None or (said is not None and found.kind in _family(said)):
        return UID(said or "")
    return _OF_KIND[found.kind]


def _family(syntax: UID) -> tuple[str, ...]:
    if not syntax.is_transfer_syntax or not syntax.is_encapsulated:
        return ()
    name = syntax.name
    if "JPEG 2000" in name:
        return ("2000",)
    if "JPEG-LS" in name:
        return ("ls",)
    return ("lossless",) if "Lossless" in name else ("dct",)


_NO_TRANSFORM = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Segment that tells a decoder that the components are what they are."""


def _jpeg(encoded: bytes, found: Codestream, layout: PixelLayout) -> Decoded:
    """Decode a JPEG of 8 bits: what it says itself of its color model counts before what the header says."""
    if found.components == 3 and found.has_luma is None and layout.interpretation == "RGB":
        encoded = encoded[:2] + _NO_TRANSFORM + encoded[2:]
        found = replace(found, has_luma=False)
    image = Image.open(BytesIO(encoded), formats=["JPEG"])
    if found.components == 3 and found.has_luma is not False:
        # leaves chroma out of the decoding
        image.draft("L", image.size)
        layout = replace(layout, interpretation="YBR_FULL")
    elif found.components == 3:
        layout = replace(layout, interpretation="RGB")
    if image.size != (layout.columns, layout.rows) or image.mode not in ("L", "RGB"):
        raise ValueError(f"a frame has {image.height} x {image.width} pixels in the color model {image.mode}")
    return np.asarray(image.convert("L") if image.mode == "RGB" and layout.is_ybr else image), layout


MAX_SAMPLES_AT_ONCE = 12_000_000
"""Samples of color that are turned into floats at once."""


def gray_values(pixels: NDArray[Any], header: Dataset, layout: PixelLayout, frame: int) -> NDArray[np.float32]:
    """Turn decoded pixels into luma in [0, 1].

    Color and values of 8 bits are divided by the largest value. A window or table that the header asks for counts for
    gray, and where there is none the rule of :func:`~bus_monai.io.gray.to_unit_range`, so that the same picture comes
    out whatever holds it.

    Args:
        pixels: (H, W), or (H, W, 3) in RGB.
        header: of the file.
        layout: of its pixels.
        frame: number of the frame, which may have a window of its own.
    """
    if layout.interpretation == "PALETTE COLOR":
        return _palette_luma(pixels, header)
    if pixels.ndim == 3:
        return _luma(pixels, layout)
    if layout.is_ybr:
        return to_unit_range(pixels, top=layout.top)
    gray = _shown(pixels, header, layout, frame)
    return 1 - gray if layout.interpretation == "MONOCHROME1" else gray


def _luma(pixels: NDArray[Any], layout: PixelLayout) -> NDArray[np.float32]:
    """Return the luma of RGB, of a large image by bands of rows."""
    if pixels.dtype != np.uint8:
        return np.asarray(to_unit_range(pixels) @ LUMA_WEIGHTS, dtype=np.float32)
    top = np.float32(layout.top if int(pixels.max()) <= layout.top else 255)
    gray = np.empty(pixels.shape[:2], np.float32)
    rows = max(1, MAX_SAMPLES_AT_ONCE // max(1, pixels.size // len(pixels)))
    for start in range(0, len(pixels), rows):
        luma = pixels[start : start + rows].astype(np.float32) @ LUMA_WEIGHTS
        gray[start : start + rows] = np.clip(luma / top, 0, 1)
    return gray


def _as_meant(pixels: NDArray[Any], layout: PixelLayout) -> NDArray[Any]:
    """Return values that the header calls signed as they are meant, and without what is drawn in bits above them.

    Ultrasound has no signed values, and many a header that says so is wrong: read in the wrong way, values jump from
    one end to the other where the picture is smooth.
    """
    if pixels.dtype.kind not in "iu":
        return pixels
    unused = 8 * pixels.dtype.itemsize - layout.stored
    if layout.has_overlay and unused > 0:
        pixels = pixels & pixels.dtype.type(2**layout.stored - 1)
    if not layout.is_signed:
        return pixels
    plain = pixels.view(f"u{pixels.dtype.itemsize}")
    signed = plain.view(f"i{pixels.dtype.itemsize}")
    if unused > 0 and not (plain >> plain.dtype.type(layout.stored)).any():
        signed = (plain << plain.dtype.type(unused)).view(signed.dtype) >> signed.dtype.type(unused)
    one, other = _steps(plain), _steps(signed)
    if layout.stored <= 8:
        return plain if one <= other else signed
    # other kinds of images do have signed values of more bits
    return plain if one < MUCH_SMOOTHER * other and pixels.size >= MIN_PIXELS else signed


MUCH_SMOOTHER = 0.8
"""Share of the steps that is left where more than 8 bits are read in the right way."""
MIN_PIXELS = 256
"""That tell it."""


def _steps(pixels: NDArray[Any]) -> float:
    values = pixels.astype(np.float64 if pixels.dtype.itemsize > 2 else np.int32)
    return float(np.abs(np.diff(values, axis=0)).sum()) + float(np.abs(np.diff(values, axis=1)).sum())


def _shown(values: NDArray[Any], header: Dataset, layout: PixelLayout, frame: int) -> NDArray[np.float32]:
    for group in functional_groups(header, frame):
        found = _by_window(values, header, group, frame)
        if found is not None:
            return found
    gray = to_unit_range(values, top=layout.top)
    return 1 - gray if _slope(header, frame)[0] < 0 else gray


def _by_window(values: NDArray[Any], header: Dataset, group: Dataset, frame: int) -> NDArray[np.float32] | None:
    holder = _first(group, "FrameVOILUTSequence")
    try:
        if holder.get("VOILUTSequence"):
            return _by_table(_rescaled(values, header, frame), holder.VOILUTSequence[0], _order(header))
        function = str(holder.get("VOILUTFunction") or "LINEAR")
    except Exception:  # values are decoded when they are asked for, and a table is no reason to lose the picture
        return None
    center, width = _number(holder, "WindowCenter"), _number(holder, "WindowWidth")
    if center is None or width is None:
        return None
    return windowed(_rescaled(values, header, frame), center, width, function=function)


def _rescaled(values: NDArray[Any], header: Dataset, frame: int) -> NDArray[Any]:
    if header.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(values, header))
    slope, intercept = _slope(header, frame)
    return values if (slope, intercept) == (1, 0) else values.astype(np.float64) * slope + intercept


def _slope(header: Dataset, frame: int) -> tuple[float, float]:
    for group in functional_groups(header, frame):
        holder = _first(group, "PixelValueTransformationSequence")
        slope, intercept = _number(holder, "RescaleSlope"), _number(holder, "RescaleIntercept")
        if slope:
            return slope, intercept or 0.0
    return 1.0, 0.0


def _first(group: Dataset, keyword: str) -> Dataset:
    """Return the first item of a sequence of functional groups, or the header, which has its elements itself."""
    items = group.get(keyword)
    return items[0] if items else group


def _number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first number of an element, ``None`` where it is missing or no finite number."""
    try:
        value: Any = dataset.get(keyword)
        several = hasattr(value, "__iter__") and not isinstance(value, str)
        number = float(next(iter(value)) if several else value)
    except Exception:  # values are decoded when they are asked for
        return None
    return number if np.isfinite(number) else None


def _by_table(values: NDArray[Any], item: Dataset, order: str) -> NDArray[np.float32]:
    # pydicom 3.0 keeps of an index no more bits than the entries have
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    stored = item.LUTData
    if isinstance(stored, bytes):
        stored = np.frombuffer(stored, f"{order}u{len(stored) // (entries or 2**16)}")
    table = np.atleast_1d(np.asarray(stored, np.float32))
    return _looked_up(np.clip(table / _top_of(table, bits), 0, 1), values, first)


def _palette_luma(pixels: NDArray[Any], header: Dataset) -> NDArray[np.float32]:
    entries, first, bits = (int(value) for value in header.RedPaletteColorLookupTableDescriptor)
    entries = entries or 2**16
    if "SegmentedRedPaletteColorLookupTableData" in header:
        colors = apply_color_lut(np.arange(first, first + entries), header)[..., :3]
    else:
        # pydicom 3.0 reads the tables in the machine's byte order, which turns big endian files black
        tables = []
        for color in ("Red", "Green", "Blue"):
            stored = header[f"{color}PaletteColorLookupTableData"].value
            tables.append(np.frombuffer(stored, dtype=f"{_order(header)}u{len(stored) // entries}"))
        colors = np.stack(tables, axis=-1)
    luma = colors.astype(np.float32) @ LUMA_WEIGHTS / _top_of(colors, bits)
    return _looked_up(np.clip(luma, 0, 1), pixels, first)


def _order(header: Dataset) -> str:
    return "<" if header.original_encoding[1] else ">"


def _top_of(table: NDArray[Any], bits: int) -> np.float32:
    """Return the largest value that a table may have: one says 8 bits and uses 16, or the other way round."""
    largest = table.max()
    return np.float32(next((top for top in (255, 2 ** min(bits, 16) - 1) if largest <= top), 65535))


def _looked_up(table: NDArray[Any], values: NDArray[Any], first: int) -> NDArray[np.float32]:
    """Return the entries of values, the first of which is that of ``first``."""
    places = np.clip(values.astype(np.int32) - first, 0, len(table) - 1)
    return np.asarray(table[places], dtype=np.float32)
