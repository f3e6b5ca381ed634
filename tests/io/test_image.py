"""Reading: the axes, colors and depths of real files, and a sentence for each broken one."""

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
from bus_monai.io.image import read_mask, read_raster
from bus_monai.io.opened import source_kind
from bus_monai.sources.listing import list_sources
from bus_monai.sources.read import read_source
from tests.user_errors import raises_user_error

GRAY = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5) * 8
RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
LUMA = RGB @ np.array([0.299, 0.587, 0.114]) / 255


def _png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_8_bit_gray_is_divided_by_255(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    source = read_source(tmp_path / "a.png")
    assert source.pixels.dtype == np.float32
    np.testing.assert_array_equal(source.pixels, GRAY / np.float32(255))
    assert (source.spacing_mm, source.frame, source.frames) == (None, 0, 1)


@pytest.mark.parametrize("factor", [257, 16, 10])
def test_16_bit_gray_is_scaled_by_its_own_range(tmp_path: Path, factor: int) -> None:
    Image.fromarray(GRAY.astype(np.uint16) * factor + 1).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_raster(tmp_path / "a.png"), GRAY / GRAY.max(), atol=1e-7)


def test_1_bit_is_0_and_1(tmp_path: Path) -> None:
    Image.fromarray(GRAY > 100).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_raster(tmp_path / "a.png"), (GRAY > 100).astype(np.float32))


def test_color_is_rec_601_luma(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    # Pillow rounds luma to 8 bits
    np.testing.assert_allclose(read_raster(tmp_path / "a.png"), LUMA, atol=0.51 / 255)


@pytest.mark.parametrize("alpha", [0, 1, 255])
def test_alpha_means_nothing(tmp_path: Path, alpha: int) -> None:
    Image.fromarray(np.dstack([RGB, np.full((6, 5), alpha, np.uint8)])).save(tmp_path / "rgba.png")
    np.testing.assert_allclose(read_raster(tmp_path / "rgba.png"), LUMA, atol=0.51 / 255)
    Image.fromarray(np.dstack([GRAY, np.full((6, 5), alpha, np.uint8)])).save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_raster(tmp_path / "la.png"), GRAY / np.float32(255))


@pytest.mark.parametrize("transparency", [None, 0, 3])
def test_palette_is_looked_up(tmp_path: Path, transparency: int | None) -> None:
    palette = Image.fromarray(RGB).quantize(30)
    extra = {} if transparency is None else {"transparency": transparency}
    palette.save(tmp_path / "p.png", **extra)
    expected = np.asarray(palette.convert("RGB")) @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(read_raster(tmp_path / "p.png"), expected, atol=0.51 / 255)


def test_jpeg_of_any_name_is_read_by_content(tmp_path: Path) -> None:
    smooth = np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1))
    Image.fromarray(smooth).save(tmp_path / "scan.bin", format="JPEG", quality=95)
    assert source_kind(tmp_path / "scan.bin") == "raster"
    np.testing.assert_allclose(read_source(tmp_path / "scan.bin").pixels, smooth / 255, atol=3 / 255)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("trailing", [(), (1,), (1, 1)])
def test_nifti_x_is_the_column(tmp_path: Path, suffix: str, trailing: tuple[int, ...]) -> None:
    stored = np.zeros((7, 4, *trailing), np.uint8)  # 7 columns, 4 rows
    stored[5, 2] = 255
    image = nib.Nifti1Image(stored, np.diag([0.3, 0.2, 1, 1]))
    nib.save(image, tmp_path / f"a{suffix}")
    source = read_source(tmp_path / f"a{suffix}")
    assert source.pixels.shape == (4, 7)
    assert np.argwhere(source.pixels == 1).tolist() == [[2, 5]]
    assert source.spacing_mm == pytest.approx((0.2, 0.3))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.array([[0.25, 0.5]], np.float32), [[0.25], [0.5]]),
        (np.array([[-1000, 0, 3000]], np.int16), [[0], [0.25], [1]]),
        (np.array([[51, 255]], np.uint8), [[0.2], [1]]),
    ],
)
def test_nifti_values(tmp_path: Path, stored: np.ndarray, expected: list) -> None:
    nib.save(nib.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii")
    np.testing.assert_allclose(read_source(tmp_path / "a.nii").pixels, expected, atol=1e-6)


def test_nifti_2_is_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(GRAY, np.eye(4)), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_source(tmp_path / "a.nii").pixels, GRAY.T / np.float32(255))


def test_nifti_of_several_slices_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 3), np.uint8), np.eye(4)), tmp_path / "a.nii")
    with raises_user_error((4, 5, 3), path=tmp_path / "a.nii"):
        read_source(tmp_path / "a.nii")


def test_nifti_of_colors_is_refused(tmp_path: Path) -> None:
    stored = np.zeros((4, 5, 1), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii")
    with raises_user_error("gray", path=tmp_path / "a.nii"):
        read_source(tmp_path / "a.nii")


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


@pytest.mark.parametrize(("name", "lesion"), [("m.png", [False, True, True]), ("m.jpg", [False, False, True])])
def test_any_value_is_lesion_but_in_a_jpeg_from_half_on(tmp_path: Path, name: str, lesion: list[bool]) -> None:
    # blocks of 8, so that JPEG keeps them
    values = np.repeat(np.repeat(np.array([[0, 100, 200]], np.uint8), 8, axis=0), 8, axis=1)
    Image.fromarray(values).save(tmp_path / name, quality=100)
    assert read_mask(tmp_path / name, (8, 24)).tolist() == [np.repeat(lesion, 8).tolist()] * 8
    with raises_user_error("8 x 24", "24 x 8", path=tmp_path / name):
        read_mask(tmp_path / name, (24, 8))


def test_list_holds_images_frames_and_broken_files_but_no_masks(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    Image.fromarray(GRAY).save(tmp_path / "b" / "a (1).png")
    Image.fromarray(GRAY).save(tmp_path / "b" / "a (1)_mask.png")
    Image.fromarray(GRAY).save(tmp_path / "b" / "a (1)_mask_1.png")
    Image.fromarray(GRAY).save(tmp_path / "._a.png")
    (tmp_path / "broken.png").touch()
    (tmp_path / "garbage.dcm").write_bytes(b"abc" * 100)
    (tmp_path / "notes.txt").write_text("read me")
    (tmp_path / "near.csv").touch()
    (tmp_path / "cine").write_bytes(Path(get_testdata_file("OBXXXX1A_rle_2frame.dcm")).read_bytes())
    (tmp_path / "report.dcm").write_bytes(Path(get_testdata_file("reportsi.dcm")).read_bytes())
    (tmp_path / "seg.dcm").write_bytes(Path(get_testdata_file("liver_1frame.dcm")).read_bytes())
    nib.save(nib.Nifti1Image(GRAY, np.eye(4)), tmp_path / "c.nii.gz")
    listed = [(str(path.relative_to(tmp_path)), frame) for path, frame in list_sources(tmp_path)]
    assert listed == [
        ("b/a (1).png", 0),
        ("broken.png", 0),
        ("c.nii.gz", 0),
        ("cine", 0),
        ("cine", 1),
        ("garbage.dcm", 0),
    ]


def test_kind_is_none_without_content(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert source_kind(tmp_path / "empty.png") is None
    assert source_kind(tmp_path / "nothing.png") is None
