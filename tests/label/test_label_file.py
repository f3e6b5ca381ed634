from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from bus_monai.geometry.lesion import CONTOUR_TOLERANCE_PX
from bus_monai.label.label_file import (
    fill_contours,
    keep_numbers,
    label_contours,
    label_suffix,
    read_labels,
    write_labels,
)
from tests.user_errors import raises_user_error


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, (2, 7, 8), elements=st.integers(0, 2)))
def test_filled_contours_are_the_labels(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(fill_contours(label_contours(list(labels)), labels.shape), labels)


def test_contours_say_lesion_and_frame() -> None:
    labels = np.zeros((8, 9), np.uint8)
    labels[1:4, 2:6] = 1
    labels[5:8, 5:8] = 2
    labels[6, 6] = 0
    contours = label_contours([np.zeros((8, 9), np.uint8), labels])
    assert [(contour["label"], contour["frame"]) for contour in contours] == [(1, 1), (2, 1), (2, 1)]
    points = np.array(contours[0]["points"])
    assert (points.min(axis=0).tolist(), points.max(axis=0).tolist()) == ([1.5, 0.5], [5.5, 3.5])


def test_straightened_outlines_have_few_corners_and_lose_no_lesion() -> None:
    rows, columns = np.ogrid[:100, :120]
    labels = (((rows - 50) / 30) ** 2 + ((columns - 60) / 40) ** 2 <= 1).astype(np.uint8)
    labels[3, 3] = 2
    contours = label_contours([labels], tolerance=CONTOUR_TOLERANCE_PX)
    assert [len(contour["points"]) for contour in contours] == [16, 4]
    filled = fill_contours(contours, (1, *labels.shape))[0]
    assert filled[3, 3] == 2
    assert 2 * ((filled == 1) & (labels == 1)).sum() / ((filled == 1).sum() + (labels == 1).sum()) > 0.98


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"points": None}, ["three"]),
        ({"points": [[0, 0], [1, 1]]}, ["three"]),
        ({"points": [[0, 0], [1]]}, ["label", "frame", "points"]),
        ({"label": "x"}, ["label", "frame", "points"]),
        ({"label": 256}, ["lesion 256", "frame 0", 1, 255]),
        ({"frame": 2}, ["lesion 1", "frame 2", 0, 1]),
        ({"points": [[0, 0], [0, 1], [float("nan"), 1]]}, ["three"]),
        ({"points": [[0, 0], [0, 1], [1e300, 1]]}, ["three"]),
    ],
)
def test_what_is_no_contour_is_refused(change: dict[str, Any], named: list[object]) -> None:
    good = {"label": 1, "frame": 0, "points": [[0, 0], [0, 3], [3, 0]]}
    with raises_user_error("Contour 2", *named):
        fill_contours([good, good | change], (2, 5, 6))


def test_lesions_grow_shrink_split_and_begin() -> None:
    before = np.array([[2, 2, 2, 0, 0, 0, 0, 3]], np.uint8)
    mask = np.array([[1, 0, 1, 1, 0, 1, 0, 0]], bool)
    assert keep_numbers(mask, before).tolist() == [[2, 0, 2, 2, 0, 1, 0, 0]]


def test_new_lesions_begin_with_the_largest() -> None:
    mask = np.array([[1, 0, 1, 1, 0, 1, 1, 1]], bool)
    assert keep_numbers(mask, np.zeros((1, 8), np.uint8)).tolist() == [[3, 0, 2, 2, 0, 1, 1, 1]]


@settings(max_examples=50, deadline=None)
@given(arrays(bool, (5, 6)), arrays(np.uint8, (5, 6), elements=st.integers(0, 3)))
def test_the_mask_is_labeled_and_what_stays_keeps_its_number(mask: np.ndarray, before: np.ndarray) -> None:
    after = keep_numbers(mask, before)
    np.testing.assert_array_equal(after > 0, mask)
    stays = mask & (before > 0)
    np.testing.assert_array_equal(after[stays], before[stays])
    np.testing.assert_array_equal(keep_numbers(mask, after), after)


stacks = arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.integers(0, 20))


@settings(max_examples=25, deadline=None)
@given(stacks)
def test_labels_come_back_from_nifti(tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("labels") / "a.nii.gz"
    write_labels(list(labels), Path("a.dcm"), path)
    np.testing.assert_array_equal(read_labels(path, labels.shape), labels)


def test_labels_take_the_geometry_of_a_nifti_image(tmp_path: Path) -> None:
    affine = np.diag([0.2, 0.1, 1.0, 1.0])
    nib.save(nib.Nifti1Image(np.zeros((5, 4), np.uint8), affine), tmp_path / "a.nii")
    write_labels([np.eye(4, 5, dtype=np.uint8)], tmp_path / "a.nii", tmp_path / "b.nii.gz")
    written = nib.load(tmp_path / "b.nii.gz")
    np.testing.assert_allclose(written.affine, affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.eye(5, 4))


def test_a_mask_of_255_is_one_lesion(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png", (1, 1, 2)).tolist() == [[[0, 1]]]


def test_what_is_no_label_is_refused(tmp_path: Path) -> None:
    png = tmp_path / "a.png"

    def refused(*named: object, shape: tuple[int, int, int] = (1, 1, 2)) -> None:
        with raises_user_error(*named, path="a.png"):
            read_labels(png, shape)

    Image.fromarray(np.zeros((1, 2), np.uint8)).save(png)
    refused("1 x 1 x 2", "1 x 2 x 2", shape=(1, 2, 2))
    Image.fromarray(np.zeros((1, 2, 3), np.uint8)).save(png)
    refused("gray")
    Image.fromarray(np.array([[0, 300]], np.uint16)).save(png)
    refused(0, 255)
    png.write_bytes(b"GIF89a")
    refused(".png", ".nii.gz", ".nii")
    png.write_bytes(b"\x89PNG\r\n\x1a\n")
    refused("read")
    with raises_user_error("'.nrrd'", ".png", ".nii.gz", ".nii"):
        label_suffix("a.nrrd")


def test_polygons_beyond_the_image_are_cut() -> None:
    wide = {"label": 1, "frame": 0, "points": [[-50, -50], [-50, 2], [50, 2], [50, -50]]}
    outside = {"label": 2, "frame": 0, "points": [[50, 50], [60, 50], [60, 60]]}
    labels = fill_contours([wide, outside], (1, 5, 6))
    assert labels[0].tolist() == [[1] * 6] * 3 + [[0] * 6] * 2


@pytest.mark.parametrize("contours", [None, 5, "x", {"label": 1}, [5], [None]])
def test_contours_that_are_no_list_are_refused(contours: Any) -> None:
    with raises_user_error("send"):
        fill_contours(contours, (1, 5, 6))


def test_many_lesions_take_no_more_memory_than_one() -> None:
    whole = [[0, 0], [1999, 0], [1999, 1999], [0, 1999]]
    tracemalloc.start()
    labels = fill_contours([{"label": n, "frame": 0, "points": whole} for n in (1, 2, 3, 4)], (1, 2000, 2000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (labels == 4).all()
    assert peak < 8 * labels.nbytes


@pytest.mark.parametrize("suffix", [".png", ".nii.gz"])
def test_a_label_of_another_size_is_not_decoded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        Image.fromarray(np.zeros((3000, 3000), np.uint8)).save(path)
    else:
        nib.save(nib.Nifti1Image(np.zeros((3000, 3000, 4), np.float64), np.eye(4)), path)
    tracemalloc.start()
    with raises_user_error("1 x 4 x 5"):
        read_labels(path, (1, 4, 5))
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_labels_of_floats_and_further_axes_are_read(tmp_path: Path) -> None:
    values = np.arange(20, dtype=np.float64).reshape(5, 4, 1, 1)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.nii.gz", (1, 4, 5))[0], values[..., 0, 0].T)
    nib.save(nib.Nifti1Image(values + 0.5, np.eye(4)), tmp_path / "a.nii.gz")
    with raises_user_error(0, 255, path="a.nii.gz"):
        read_labels(tmp_path / "a.nii.gz", (1, 4, 5))
