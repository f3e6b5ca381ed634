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
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.errors import UserError
from bus_monai.sources.read import read_source
from tests.user_errors import raises_user_error

GRAY = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5) * 8
RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def _png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


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


def test_a_truncated_png_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)).save(buffer, "PNG")
    (tmp_path / "half.png").write_bytes(buffer.getvalue()[:4000])
    with raises_user_error("truncated", path=tmp_path / "half.png"):
        read_source(tmp_path / "half.png")


@pytest.mark.parametrize("side", [10_001, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(_png_header(side, side))
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
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
