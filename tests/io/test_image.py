"""Reading: the axes, colors and depths of real files, and a sentence for each broken one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.io.image import read_mask, read_raster
from bus_monai.io.opened import source_kind
from bus_monai.sources.read import read_source
from tests.user_errors import raises_user_error

GRAY = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5) * 8
RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
LUMA = RGB @ np.array([0.299, 0.587, 0.114]) / 255


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


@pytest.mark.parametrize(("name", "lesion"), [("m.png", [False, True, True]), ("m.jpg", [False, False, True])])
def test_any_value_is_lesion_but_in_a_jpeg_from_half_on(tmp_path: Path, name: str, lesion: list[bool]) -> None:
    # blocks of 8, so that JPEG keeps them
    values = np.repeat(np.repeat(np.array([[0, 100, 200]], np.uint8), 8, axis=0), 8, axis=1)
    Image.fromarray(values).save(tmp_path / name, quality=100)
    assert read_mask(tmp_path / name, (8, 24)).tolist() == [np.repeat(lesion, 8).tolist()] * 8
    with raises_user_error("8 x 24", "24 x 8", path=tmp_path / name):
        read_mask(tmp_path / name, (24, 8))


def test_kind_is_none_without_content(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert source_kind(tmp_path / "empty.png") is None
    assert source_kind(tmp_path / "nothing.png") is None
