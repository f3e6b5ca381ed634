"""One rule for the range of values: the same picture is the same gray, whatever holds it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bus_monai.io.gray import to_unit_range, windowed
from bus_monai.sources.read import read_source

PICTURES = arrays(np.uint8, (4, 5))
KINDS = (np.int16, np.uint16, np.int32, np.int64, np.uint64)


@given(PICTURES, st.sampled_from(KINDS))
def test_eight_bits_are_the_same_in_wider_ones(picture: np.ndarray, kind: type) -> None:
    np.testing.assert_array_equal(to_unit_range(picture.astype(kind)), picture / np.float32(255))


@given(PICTURES, st.sampled_from(KINDS), st.integers(10, 100), st.integers(0, 200))
def test_wider_values_are_scaled_by_their_own_range(picture: np.ndarray, kind: type, factor: int, offset: int) -> None:
    picture[0, :2] = 0, 255
    np.testing.assert_allclose(to_unit_range(picture.astype(kind) * factor + offset), picture / 255, atol=1e-6)


@given(arrays(np.float64, (3, 4), elements=st.floats()), st.sampled_from([np.float16, np.float32, np.float64]))
def test_any_floats_give_gray(values: np.ndarray, kind: type) -> None:
    with np.errstate(all="ignore"):
        gray = to_unit_range(values.astype(kind))
    assert gray.dtype == np.float32
    assert 0 <= gray.min() <= gray.max() <= 1


def test_what_is_no_number_is_dark_and_infinity_bright() -> None:
    values = np.array([[np.nan, -np.inf, 0.2, 0.8, np.inf]])
    np.testing.assert_allclose(to_unit_range(values), [[0.2, 0.2, 0.2, 0.8, 0.8]], atol=1e-7)


def test_a_window_maps_as_the_standard_says() -> None:
    values = np.arange(256, dtype=np.int16)[None]
    np.testing.assert_allclose(windowed(values, 128, 256), values / 255, atol=1e-7)
    half = windowed(values, 64, 128)
    assert half is not None
    assert half[0, 127] == 1 == half[0, 255]


@pytest.mark.parametrize(("center", "width"), [(5000, 10), (0, 0), (np.nan, 256), (128, np.inf)])
def test_a_window_that_shows_nothing_is_none(center: float, width: float) -> None:
    assert windowed(np.arange(256, dtype=np.int16)[None], center, width) is None


@settings(deadline=None, max_examples=8)
@given(st.sampled_from([1, 3, 6, 8]), st.integers(0, 99))
def test_a_photo_is_read_as_viewers_show_it(
    tmp_path_factory: pytest.TempPathFactory, orientation: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("photo")
    shown = np.random.default_rng(seed).integers(0, 256, (4, 7), np.uint8)
    turns = {1: 0, 3: 2, 6: 1, 8: -1}
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.rot90(shown, turns[orientation])).save(folder / "a.png", exif=exif)
    np.testing.assert_array_equal(read_source(folder / "a.png").pixels, shown / np.float32(255))


STORED = np.random.default_rng(1).integers(0, 256, (6, 4), np.uint8)  # 6 columns, 4 rows


@pytest.mark.parametrize(
    ("affine", "picture"),
    [
        (np.diag([-0.3, -0.2, 1, 1]), STORED.T),  # as ITK writes a picture
        (np.diag([0.3, 0.2, 1, 1]), STORED.T),  # only scales
        (np.array([[0.3, 0, 0, -1.5], [0, 0.2, 0, -0.6], [0, 0, 1, 0], [0, 0, 0, 1]]), STORED.T[::-1, ::-1]),
        (np.array([[0.3, 0, 0, -1.5], [0, -0.2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), STORED.T[:, ::-1]),
        (np.array([[0, -0.2, 0, 0], [-0.3, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), STORED),
    ],
)
def test_a_nifti_file_is_turned_as_its_affine_says_and_its_mask_back(
    tmp_path: Path, affine: np.ndarray, picture: np.ndarray
) -> None:
    from bus_monai.io.masks import write_nifti_mask

    nib.save(nib.Nifti1Image(STORED, affine), tmp_path / "a.nii")
    source = read_source(tmp_path / "a.nii")
    np.testing.assert_array_equal(source.pixels, picture / np.float32(255))
    sides = (0.3, 0.2) if picture.shape == STORED.shape else (0.2, 0.3)
    assert source.spacing_mm == pytest.approx(sides)
    write_nifti_mask([picture > 127], tmp_path / "a.nii", tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "m.nii.gz").dataobj), STORED > 127)


@pytest.mark.parametrize(
    ("unit", "zoom", "millimeters"),
    [
        ("mm", 1, 1),
        ("mm", 0.1, 0.1),
        ("micron", 100, 0.1),
        ("meter", 0.0001, 0.1),
        ("unknown", 1, None),
        ("meter", 0.1, None),
    ],
)
def test_units_of_nifti_are_obeyed(tmp_path: Path, unit: str, zoom: float, millimeters: float | None) -> None:
    image = nib.Nifti1Image(STORED, np.diag([zoom, zoom, 1, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "A.nii")
    (tmp_path / "A.nii").rename(tmp_path / "A.NII")
    expected = None if millimeters is None else pytest.approx((millimeters, millimeters), rel=1e-3)
    assert read_source(tmp_path / "A.NII").spacing_mm == expected
