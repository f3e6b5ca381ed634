"""Small files that ask for much: one a kind, with what their sentence must name."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.inference.segment_files import ultrasound

SIDE = 64
"""Rows and columns that the headers of DICOM files declare."""
HUGE = 60_000


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))


def png(path: Path) -> None:
    head = struct.pack(">LLBBBBB", HUGE, HUGE, 8, 2, 0, 0, 0)
    rows = _chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + rows + _chunk(b"IEND", b""))


def _jpeg(size: tuple[int, int], *, marker: int | None = None, declared: tuple[int, int] | None = None) -> bytes:
    file = BytesIO()
    Image.new("L", size, 90).save(file, "JPEG")
    content = bytearray(file.getvalue())
    at = content.index(b"\xff\xc0")
    if marker is not None:
        content[at + 1] = marker
    if declared is not None:
        content[at + 5 : at + 9] = struct.pack(">HH", *declared)
    return bytes(content) + bytes(len(content) % 2)


def jpeg(path: Path) -> None:
    path.write_bytes(_jpeg((SIDE, SIDE), declared=(HUGE, HUGE)))


def jpeg_scans(path: Path) -> None:
    file = BytesIO()
    Image.new("L", (2000, 2000), 90).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    scan = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + scan * 2000 + b"\xff\xd9")


def _encapsulated(path: Path, syntax: str, encoded: bytes, frames: int = 1, side: int = SIDE) -> None:
    data = _gray(path, side)
    data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    if frames > 1:
        data.NumberOfFrames = frames
    data.PixelData = encapsulate([encoded] * frames)
    data["PixelData"].VR = "OB"
    data.save_as(path)


def _gray(path: Path, side: int = SIDE) -> Dataset:
    data = pydicom.dcmread(ultrasound(path))
    for keyword in ("PlanarConfiguration", "SequenceOfUltrasoundRegions"):
        data.pop(keyword, None)
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows = data.Columns = side
    data.PixelData = bytes(side * side)
    return data


def _jpeg2000(**changes: int) -> bytes:
    file = BytesIO()
    Image.fromarray(np.full((SIDE, SIDE), 90, np.uint8)).save(file, "JPEG2000", no_jp2=True, irreversible=False)
    content = bytearray(file.getvalue())
    at = content.index(b"\xff\x4f\xff\x51") + 8
    fields = {"columns": 0, "rows": 4, "tile_columns": 16, "tile_rows": 20}
    for name, value in changes.items():
        struct.pack_into(">L", content, at + fields[name], value)
    return bytes(content) + bytes(len(content) % 2)


def jpeg2000(path: Path) -> None:
    huge = {"columns": HUGE, "rows": HUGE, "tile_columns": HUGE, "tile_rows": HUGE}
    _encapsulated(path, JPEG2000Lossless, _jpeg2000(**huge))


def jpeg2000_tiles(path: Path) -> None:
    _encapsulated(path, JPEG2000Lossless, _jpeg2000(rows=6000, columns=6000, tile_columns=1, tile_rows=1))


def jpeg_ls(path: Path) -> None:
    _encapsulated(path, JPEGLSLossless, _jpeg((SIDE, SIDE), marker=0xF7, declared=(HUGE, HUGE)))


def jpeg_lossless(path: Path) -> None:
    _encapsulated(path, JPEGLosslessSV1, _jpeg((SIDE, SIDE), marker=0xC3, declared=(HUGE, HUGE)))


def jpeg_baseline(path: Path) -> None:
    _encapsulated(path, JPEGBaseline8Bit, _jpeg((SIDE, SIDE), declared=(HUGE, HUGE)))


def second_frame(path: Path) -> None:
    data = _gray(path)
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.NumberOfFrames = 2
    huge = {"columns": HUGE, "rows": HUGE, "tile_columns": HUGE, "tile_rows": HUGE}
    data.PixelData = encapsulate([_jpeg2000(), _jpeg2000(**huge)])
    data["PixelData"].VR = "OB"
    data.save_as(path)


def rle(path: Path) -> None:
    segment = b"\x81\x5a" * 8_000_000  # 2 bytes are 128
    _encapsulated(path, RLELossless, struct.pack("<16L", 1, 64, *[0] * 14) + segment)


def _deflate(head: bytes, million: int, bits: int) -> bytes:
    """Compress a head and millions of zeros, one of which is packed and then repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    content = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return content + zeros * million + packer.flush()


def deflated(path: Path) -> None:
    data = _gray(path)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(path)
    whole = path.read_bytes()
    # the group length at byte 140 counts what follows it
    start = 144 + struct.unpack_from("<L", whole, 140)[0]
    head = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    head += struct.pack("<HH2sHL", 0x7FE1, 0x1010, b"OB", 0, 2_000_000_000)
    path.write_bytes(whole[:start] + _deflate(head, 2000, -zlib.MAX_WBITS))


def _elements(count: int) -> bytes:
    """Give empty elements, eight bytes each, of the group of a manufacturer and those after it."""
    numbers = np.arange(count, dtype=np.uint32)
    made = np.zeros((count, 4), "<u2")
    made[:, 0], made[:, 1] = 0x0009 + 2 * (numbers >> 16), numbers & 0xFFFF
    made[:, 2] = int.from_bytes(b"LT", "little")
    return made.tobytes()


def _deflated_header(path: Path, more: bytes) -> None:
    data = _gray(path)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(path)
    whole = path.read_bytes()
    start = 144 + struct.unpack_from("<L", whole, 140)[0]
    head = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(whole[:start] + packer.compress(more + head) + packer.flush())


def elements(path: Path) -> None:
    _deflated_header(path, _elements(1_000_000))


def sequence_elements(path: Path) -> None:
    """As above, but of one item of a sequence, which is read at one go."""
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + _elements(600_000)
    item += struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    _deflated_header(path, struct.pack("<HH2sHL", 0x0008, 0x0006, b"SQ", 0, 0xFFFFFFFF) + item)


def sequence_in_reserve(path: Path) -> None:
    """As above, but with a length, so that it is read when it is asked for."""
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 16_000_000) + _elements(2_000_000)
    _deflated_header(path, struct.pack("<HH2sHL", 0x0008, 0x0006, b"SQ", 0, len(item)) + item)


def nested_sequences(path: Path) -> None:
    opening = struct.pack("<HH2sHL", 0x0008, 0x0006, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    _deflated_header(path, opening * 100_000)


def size_of_header(path: Path) -> None:
    data = _gray(path)
    data.Rows = data.Columns = HUGE
    data.save_as(path)


def palette(path: Path) -> None:
    data = _gray(path)
    data.PhotometricInterpretation = "PALETTE COLOR"
    segments = struct.pack("<3H", 0, 1, 7) + struct.pack("<3H", 1, 0xFFFF, 7) * 20_000
    for color in ("Red", "Green", "Blue"):
        data.add_new(f"{color}PaletteColorLookupTableDescriptor", "US", [0, 0, 16])
        data.add_new(f"Segmented{color}PaletteColorLookupTableData", "OW", segments[:65_530])
    data.save_as(path)


def palette_of_references(path: Path) -> None:
    data = _gray(path)
    data.PhotometricInterpretation = "PALETTE COLOR"
    segments = struct.pack("<3H", 0, 1, 7) + struct.pack("<3H", 1, 60_000, 7) + struct.pack("<4H", 2, 2, 0, 0) * 8_000
    for color in ("Red", "Green", "Blue"):
        data.add_new(f"{color}PaletteColorLookupTableDescriptor", "US", [0, 0, 16])
        data.add_new(f"Segmented{color}PaletteColorLookupTableData", "OW", segments[:65_528])
    data.save_as(path)


def frames(path: Path) -> None:
    _encapsulated(path, JPEG2000Lossless, _jpeg2000(), frames=6000)


def _nifti(shape: tuple[int, int], code: int, bits: int, *, offset: float = 352, extension: int = 0) -> bytes:
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 2, *shape, 1, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, code, bits)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", head, 108, offset)
    head[344:348] = b"n+1\0"
    if extension:
        head[348] = 1
        head += struct.pack("<ii", extension, 6)
    return bytes(head)


def _packed(path: Path, head: bytes, million: int) -> None:
    path.write_bytes(_deflate(head, million, 31))


def nifti(path: Path) -> None:
    _packed(path, _nifti((30_000, 30_000), 64, 64), 900)


def nifti_extension(path: Path) -> None:
    _packed(path, _nifti((SIDE, SIDE), 2, 8, offset=400, extension=2_000_000_000), 2001)


def nifti_wide_values(path: Path) -> None:
    path.write_bytes(gzip.compress(_nifti((6000, 6000), 2048, 256) + bytes(1000)))


def nifti_far_values(path: Path) -> None:
    _packed(path, _nifti((SIDE, SIDE), 2, 8, offset=2e9), 10)


BOMBS: dict[str, tuple[Callable[[Path], None], str, tuple[str, ...]]] = {
    "PNG, IHDR": (png, ".png", ("25,000,000", "BUS_MONAI_MAX_PIXELS")),
    "JPEG, SOF": (jpeg, ".jpg", ("25,000,000", "BUS_MONAI_MAX_PIXELS")),
    "JPEG, scans": (jpeg_scans, ".jpg", ("1000",)),
    "DICOM, Rows x Columns": (size_of_header, ".dcm", ("60000 x 60000", "BUS_MONAI_MAX_PIXELS")),
    "DICOM, JPEG": (jpeg_baseline, ".dcm", ("60000 x 60000", "BUS_MONAI_MAX_PIXELS")),
    "DICOM, JPEG lossless": (jpeg_lossless, ".dcm", ("60000 x 60000", "BUS_MONAI_MAX_PIXELS")),
    "DICOM, JPEG-LS": (jpeg_ls, ".dcm", ("60000 x 60000", "BUS_MONAI_MAX_PIXELS")),
    "DICOM, JPEG 2000, SIZ": (jpeg2000, ".dcm", ("60000 x 60000", "BUS_MONAI_MAX_PIXELS")),
    "DICOM, JPEG 2000, tiles": (jpeg2000_tiles, ".dcm", ("size",)),
    "DICOM, second frame": (second_frame, ".dcm", ("60000 x 60000", "BUS_MONAI_MAX_PIXELS")),
    "DICOM, RLE": (rle, ".dcm", ("4,096",)),
    "DICOM, deflated": (deflated, ".dcm", ("BUS_MONAI_MAX_FILE_BYTES",)),
    "DICOM, elements": (elements, ".dcm", ("200,000", "BUS_MONAI_MAX_ELEMENTS")),
    "DICOM, elements of a sequence": (sequence_elements, ".dcm", ("200,000", "BUS_MONAI_MAX_ELEMENTS")),
    "DICOM, elements in reserve": (sequence_in_reserve, ".dcm", ("200,000", "BUS_MONAI_MAX_ELEMENTS")),
    "DICOM, nested sequences": (nested_sequences, ".dcm", ("DICOM",)),
    "DICOM, color table": (palette, ".dcm", ("65,536",)),
    "DICOM, color table of references": (palette_of_references, ".dcm", ("65,536",)),
    "DICOM, frames": (frames, ".dcm", ("6,000", "BUS_MONAI_MAX_FRAMES")),
    "NIfTI, dimensions": (nifti, ".nii.gz", ("30000 x 30000", "BUS_MONAI_MAX_PIXELS")),
    "NIfTI, extension": (nifti_extension, ".nii.gz", ("no signal",)),
    "NIfTI, wide values": (nifti_wide_values, ".nii.gz", ("2048",)),
    "NIfTI, far values": (nifti_far_values, ".nii.gz", ("2,000,000,000",)),
}
"""By what they declare: how they are made, the suffix, and what the sentence names. The extension is passed over."""
