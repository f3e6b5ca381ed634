"""Decode frames of DICOM pixels, one in memory at a time."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless

from bus_monai.dicom.codestream import Codestream, check_color_tables, check_encoded, read_codestream
from bus_monai.dicom.pixel_layout import PixelLayout
from bus_monai.io.opened import OpenedSource

Decoded = tuple[NDArray[Any], PixelLayout]
"""Pixels (H, W), or (H, W, 3) in RGB, and the layout with the color model that they have."""


def decode_frame(source: OpenedSource, layout: PixelLayout, frame: int) -> Decoded:
    """Decode one frame; no other is read.

    Raises:
        UserError: it would unpack to too much, or contradicts the header.
        Exception: the frame is not there or broken; decoders have many kinds.
    """
    check_color_tables(source.path, source.header)
    if not layout.spans:
        return _native(source, layout, frame)
    if frame >= len(layout.spans):
        raise ValueError(f"less than {layout.frames} frames are there")
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
        raise ValueError(f"less than {layout.frames} frames are there")
    odd = first % 2 if layout.is_swapped else 0
    source.content.seek(layout.start + first - odd)
    data = source.content.read(last - first + odd + (1 if layout.is_swapped else 0))
    if layout.is_swapped:
        words = np.frombuffer(data[: len(data) // 2 * 2], "u2").byteswap().tobytes() + data[len(data) // 2 * 2 :]
        data = words[odd:][: last - first]
    if layout.bits == 1:
        values = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[begin - 8 * first :][: end - begin]
        return values.reshape(layout.rows, layout.columns), layout
    kind = np.dtype(f"{'<' if layout.is_little else '>'}{'i' if layout.is_signed else 'u'}{layout.bits // 8}")
    values = np.frombuffer(data[: last - first], kind)
    values = values.astype(kind.newbyteorder("="), copy=False)
    return _shaped(values, layout)


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
    check_encoded(source.path, encoded, source.header)
    found = read_codestream(encoded)
    if found is not None and found.kind == "dct" and found.bits == 8:
        return _jpeg(encoded, found, layout)
    pixels, said = get_decoder(_syntax(source, found)).as_array(
        encapsulate([encoded]), index=0, raw=True, validate=False, **_options(source, layout)
    )
    if pixels.ndim != 3:
        return pixels, layout
    return _in_color(pixels, replace(layout, interpretation=str(said["photometric_interpretation"])))


def _options(source: OpenedSource, layout: PixelLayout) -> dict[str, Any]:
    return {
        "transfer_syntax_uid": source.header.file_meta.TransferSyntaxUID,
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.interpretation,
        "planar_configuration": int(layout.is_planar),
        "bits_allocated": layout.bits,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.is_signed),
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
