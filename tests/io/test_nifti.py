"""NIfTI files: their axes, values and spacing."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bus_monai.sources.read import read_source
from tests.user_errors import raises_user_error

GRAY = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5) * 8


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


def test_a_packed_nifti_that_is_cut_or_changed_anywhere_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 20), dtype=np.uint8)
    whole = gzip.compress(nib.Nifti1Image(noise, np.eye(4)).to_bytes(), mtime=0)
    path = tmp_path / "a.nii.gz"
    for place in range(10, len(whole), 3):
        for broken in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :]):
            path.write_bytes(broken)
            with raises_user_error(path=path):
                read_source(path)


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
