"""A file of any kind is an image or a sentence."""

from __future__ import annotations

import errno
import gzip
import io
import os
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.errors import UserError
from bus_monai.sources.read import read_source
from tests.user_errors import raises_user_error

GRAY = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5) * 8
RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def _png(width: int, height: int, packed: bytes, interlaced: int = 0) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlaced)
    parts = (packed[start : start + 30] for start in range(0, len(packed), 30))
    pixels = b"".join(chunk(b"IDAT", part) for part in parts)
    text = chunk(b"tEXt", b"Comment\0none")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + text + chunk(b"IEND", b"")


def _passes(values: NDArray[np.uint8]) -> bytes:
    """Return the lines of an interlaced PNG."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = (values[top::down, left::right] for top, left, down, right in passes)
    return zlib.compress(b"".join(b"\0" + line.tobytes() for part in parts for line in part))


def _saved(values: NDArray[np.uint8], kind: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.nii", "a.nii.gz", "a.dcm", "noname"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with raises_user_error("empty", path=tmp_path / name):
        read_source(tmp_path / name)


def test_missing_file_and_folder_and_text_are_named(tmp_path: Path) -> None:
    with raises_user_error(os.strerror(errno.ENOENT), path=tmp_path / "nothing.png"):
        read_source(tmp_path / "nothing.png")
    with raises_user_error(os.strerror(errno.EISDIR), path=tmp_path):
        read_source(tmp_path)
    (tmp_path / "a.png").write_text("not an image")
    with raises_user_error("PNG", "JPEG", "NIfTI", "DICOM", path=tmp_path / "a.png"):
        read_source(tmp_path / "a.png")


NOISE = np.random.default_rng(0).integers(0, 256, (16, 12), dtype=np.uint8)
ONE_GRAY = np.full((40, 30), 77, np.uint8)
WHOLE = {
    "noise.png": _saved(NOISE, "PNG"),
    "one gray.png": _saved(ONE_GRAY, "PNG"),
    "colors.png": _saved(RGB, "PNG"),
    "interlaced.png": _png(12, 16, _passes(NOISE), 1),
    "noise.jpg": _saved(NOISE, "JPEG"),
    "one gray.jpg": _saved(ONE_GRAY, "JPEG"),
    "progressive.jpg": _saved(NOISE, "JPEG", progressive=True),
    "restarts.jpg": _saved(NOISE, "JPEG", restart_marker_rows=1),
    "colors.bmp": _saved(RGB, "BMP"),
    "colors.tif": _saved(RGB, "TIFF"),
}


def _places(whole: bytes) -> list[int]:
    """Return some places before the end of a file, and all of the last ones but the last."""
    return [*range(0, len(whole) - 30, 11), *range(max(len(whole) - 30, 0), len(whole) - 1)]


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_cut_anywhere_is_named(tmp_path: Path, name: str) -> None:
    for length in (*_places(WHOLE[name]), len(WHOLE[name]) - 1):
        (tmp_path / name).write_bytes(WHOLE[name][:length])
        with raises_user_error(path=tmp_path / name):
            read_source(tmp_path / name)


@pytest.mark.parametrize("name", [name for name in WHOLE if name.endswith((".png", ".jpg"))])
def test_a_file_that_did_not_come_to_its_end_is_named(tmp_path: Path, name: str) -> None:
    whole = WHOLE[name]
    (tmp_path / name).write_bytes(whole)
    read_source(tmp_path / name)
    for length in _places(whole):
        (tmp_path / name).write_bytes(whole[:length] + bytes(len(whole) - length))
        with raises_user_error(path=tmp_path / name):
            read_source(tmp_path / name)


@pytest.mark.parametrize("name", [name for name in WHOLE if name.endswith(".png")])
def test_a_png_of_which_any_byte_is_wrong_is_named(tmp_path: Path, name: str) -> None:
    for place in _places(WHOLE[name]):
        content = bytearray(WHOLE[name])
        content[place] ^= 0x11
        (tmp_path / name).write_bytes(content)
        with raises_user_error(path=tmp_path / name):
            read_source(tmp_path / name)


def test_pixels_that_an_interlaced_png_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(_png(12, 16, _passes(NOISE)[:100], 1))
    with raises_user_error("truncated", path=tmp_path / "half.png"):
        read_source(tmp_path / "half.png")


def test_what_follows_the_end_of_an_image_is_nothing(tmp_path: Path) -> None:
    for name in ("noise.png", "noise.jpg"):
        (tmp_path / "whole").write_bytes(WHOLE[name])
        (tmp_path / "more").write_bytes(WHOLE[name] + b"\0more\xff\xda\0")
        np.testing.assert_array_equal(read_source(tmp_path / "more").pixels, read_source(tmp_path / "whole").pixels)


def test_the_end_of_a_thumbnail_is_not_that_of_the_image(tmp_path: Path) -> None:
    whole = _saved(NOISE, "JPEG", comment=WHOLE["one gray.jpg"])
    (tmp_path / "a.jpg").write_bytes(whole)
    assert read_source(tmp_path / "a.jpg").pixels.shape == NOISE.shape
    (tmp_path / "a.jpg").write_bytes(whole[:-60] + bytes(60))
    with raises_user_error("truncated", path=tmp_path / "a.jpg"):
        read_source(tmp_path / "a.jpg")


@pytest.mark.parametrize("side", [10_001, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(_png(side, side, zlib.compress(b"\0")))
    with raises_user_error("25,000,000", path=tmp_path / "bomb.png"):
        read_source(tmp_path / "bomb.png")


def test_an_image_has_no_second_frame(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    with raises_user_error("frame 1", path=tmp_path / "a.png"):
        read_source(tmp_path / "a.png", 1)


def _originals() -> dict[str, bytes]:
    png, jpeg = io.BytesIO(), io.BytesIO()
    Image.fromarray(RGB).save(png, "PNG")
    Image.fromarray(RGB).save(jpeg, "JPEG")
    nifti = nib.Nifti1Image(GRAY, np.eye(4)).to_bytes()
    dicom = [Path(get_testdata_file(name)).read_bytes() for name in ("ExplVR_BigEnd.dcm", "examples_palette.dcm")]
    return {
        "q.png": png.getvalue(),
        "q.jpg": jpeg.getvalue(),
        "q.nii": nifti,
        "q.nii.gz": gzip.compress(nifti),
        "q.dcm": dicom[0],
        "palette.dcm": dicom[1][:8000],
    }


ORIGINALS = _originals()


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_broken_bytes_give_an_image_or_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(ORIGINALS)))
    content = bytearray(ORIGINALS[name])
    content = content[: data.draw(st.integers(0, len(content)), label="length")]
    for _ in range(data.draw(st.integers(0, 4)) if content else 0):
        content[data.draw(st.integers(0, min(len(content), 2000) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content)
    try:
        pixels = read_source(tmp_path / name).pixels
    except UserError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert pixels.ndim == 2
        assert pixels.dtype == np.float32
        assert pixels.size == 0 or 0 <= pixels.min() <= pixels.max() <= 1
