"""Masks of data sets by content: the right pixels, or an error that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bus_monai.io.image import read_any_mask
from bus_monai.io.mask_content import MaskContentError
from tests.user_errors import check_names

ROWS, COLUMNS = np.mgrid[:64, :80]
DISK = (ROWS - 30) ** 2 + (COLUMNS - 44) ** 2 < 18**2
WHITE = DISK.astype(np.uint8) * 255
NOISE = np.random.default_rng(0).integers(0, 3, DISK.shape)


def _in_black() -> Image.Image:
    picture = Image.fromarray(DISK.astype(np.uint8)).convert("P")
    picture.putpalette([0] * 768)
    return picture


def _pictures() -> dict[str, Image.Image]:
    plain = Image.fromarray(WHITE)
    return {
        "plain.png": plain,
        "one.png": Image.fromarray(DISK.astype(np.uint8)),
        "label_2.png": Image.fromarray(DISK.astype(np.uint8) * 2),
        "sixteen.png": Image.fromarray(DISK.astype(np.uint16)),
        "bits.png": Image.fromarray(DISK),
        "white_alpha.png": Image.fromarray(np.dstack([np.full_like(WHITE, 255)] * 3 + [WHITE])),
        "black_alpha.png": Image.fromarray(np.dstack([np.zeros_like(WHITE)] * 3 + [WHITE])),
        "opaque.png": Image.fromarray(np.dstack([WHITE] * 3 + [np.full_like(WHITE, 255)])),
        "red.png": Image.fromarray(np.dstack([WHITE, WHITE * 0, WHITE * 0])),
        "blue.png": Image.fromarray(np.dstack([WHITE * 0, WHITE * 0, WHITE])),
        "soft.png": plain.resize((160, 128), Image.Resampling.BICUBIC).resize((80, 64), Image.Resampling.LANCZOS),
        "blurred.png": plain.filter(ImageFilter.GaussianBlur(1)),
        "black_palette.png": _in_black(),
        "noise.png": Image.fromarray(np.where(DISK, 255, NOISE).astype(np.uint8)),
        "gray.png": Image.fromarray(np.where(DISK, 255, 127).astype(np.uint8)),
        "lossy.jpg": plain,
        "lossy_gray.jpg": Image.fromarray(DISK.astype(np.uint8) * 128),
        "lossy_dark.jpg": Image.fromarray(DISK.astype(np.uint8) * 127),
        "lossy_one.jpg": Image.fromarray(DISK.astype(np.uint8)),
    }


@pytest.mark.parametrize("name", list(_pictures()))
def test_the_area_of_a_mask_is_that_of_its_lesion(tmp_path: Path, name: str) -> None:
    _pictures()[name].save(tmp_path / name, quality=95)
    read = read_any_mask(tmp_path / name)
    assert (read ^ DISK).sum() <= 0.05 * DISK.sum()


@pytest.mark.parametrize("value", [1, 2, 5, 16, 127, 128, 160, 255])
@pytest.mark.parametrize("quality", [50, 75, 90, 95, 100])
def test_a_lossy_mask_is_right_or_named(tmp_path: Path, value: int, quality: int) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(DISK.astype(np.uint8) * value).save(path, quality=quality)
    if not np.asarray(Image.open(path)).any():
        return  # nothing is left that could tell
    try:
        read = read_any_mask(path)
    except MaskContentError as error:
        check_names(error, path=path)
        assert value <= 16
    else:
        assert (read & DISK).sum() >= 0.94 * (read | DISK).sum()


def test_a_lossy_file_by_another_name_is_read_by_content(tmp_path: Path) -> None:
    Image.fromarray(WHITE).save(tmp_path / "a.png", format="JPEG", quality=60)
    assert (read_any_mask(tmp_path / "a.png") ^ DISK).sum() <= 0.05 * DISK.sum()


@pytest.mark.parametrize(("least", "most"), [(1, 32), (1, 64), (1, 100), (5, 201), (1, 255)])
def test_faint_numbers_beside_large_ones_are_lesion_or_named(tmp_path: Path, least: int, most: int) -> None:
    numbered = np.zeros((64, 80), np.uint8)
    numbered[10:30, 4:24] = least
    numbered[10:30, 44:64] = most
    path = tmp_path / "a.png"
    Image.fromarray(numbered).save(path)
    if most <= 64:
        assert read_any_mask(path).sum() == 800
    else:
        with pytest.raises(MaskContentError) as caught:
            read_any_mask(path)
        check_names(caught.value, path=path)


def test_numbers_of_lesions_are_all_lesion(tmp_path: Path) -> None:
    numbered = np.zeros((64, 80), np.uint8)
    for number, left in enumerate((2, 22, 42, 62), start=1):
        numbered[10:30, left : left + 15] = number
    for factor in (1, 15, 60):
        Image.fromarray(numbered * factor).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_any_mask(tmp_path / "a.png"), numbered > 0)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((64, 80), 255, np.uint8),
        255 - WHITE,
        np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8),
        np.where(DISK, 255, np.where(COLUMNS > 70, 60, 0) | np.where(ROWS == 30, 60, 0)).astype(np.uint8),
    ],
    ids=["whole", "inverted", "picture", "drawn in gray"],
)
def test_what_is_no_mask_is_named(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(MaskContentError) as caught:
        read_any_mask(tmp_path / "a.png")
    check_names(caught.value, path=tmp_path / "a.png")
