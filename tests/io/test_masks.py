"""Color PNG, read back by Pillow."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from bus_monai.io.masks import MAX_KEPT_BYTES, PackedLabels, label_suffix, read_labels, write_color_png, write_labels
from bus_monai.io.ours import PNG_MARK, is_marked
from bus_monai.sources.read import read_source
from tests.user_errors import raises_user_error

stacks = arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.integers(0, 20))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (60, 83)])
def test_pixels_come_back_from_a_file_marked_as_ours(size: tuple[int, int], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    write_color_png(picture, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert (image.mode, dict(image.text)) == ("RGB", PNG_MARK)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert is_marked(tmp_path / "a.png")


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


AFFINES = [
    np.eye(4),
    np.diag([-0.2, -0.1, 1.0, 1.0]),
    [[0.2, 0, 0, -7], [0, 0.1, 0, 3], [0, 0, 1, 2], [0, 0, 0, 1]],
    [[0, 0.1, 0, 5], [-0.2, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
]


@pytest.mark.parametrize("affine", AFFINES)
@pytest.mark.parametrize(("sform", "qform"), [(0, 0), (0, 1), (1, 0), (2, 1), (4, 4)])
def test_labels_lie_where_they_were_drawn_whatever_the_codes(
    sform: int, qform: int, affine: npt.ArrayLike, tmp_path: Path
) -> None:
    image = nib.Nifti1Image(np.zeros((20, 30), np.uint8), None)
    image.header.set_sform(affine, sform)
    image.header.set_qform(affine, qform)
    nib.save(image, tmp_path / "a.nii")
    labels = np.zeros((1, *read_source(tmp_path / "a.nii").pixels.shape), np.uint8)
    labels[0, 2:6, 1:4] = 3
    for name in ("b.nii.gz", "b.nrrd"):
        write_labels(list(labels), tmp_path / "a.nii", tmp_path / name)
    np.testing.assert_array_equal(read_labels(tmp_path / "b.nii.gz", labels.shape), labels)
    image, written = (nib.load(tmp_path / name) for name in ("a.nii", "b.nii.gz"))
    np.testing.assert_array_equal(written.affine, image.affine)
    for get in ("get_sform", "get_qform"):
        (matrix, code), (written_matrix, written_code) = (
            getattr(one.header, get)(coded=True) for one in (image, written)
        )
        assert written_code == code
        assert code == 0 or np.array_equal(written_matrix, matrix)
    # as 3D Slicer shows them, by ITK
    shown, over = (itk.imread(str(tmp_path / name), itk.UC) for name in ("a.nii", "b.nrrd"))
    for index in ((0, 0), (5, 3)):
        place = list(shown.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(list(over.TransformIndexToPhysicalPoint((*index, 0)))[:2], place, atol=1e-5)


@pytest.mark.parametrize(("most", "bits"), [(255, 8), (256, 16), (512, 16)])
def test_no_lesion_of_a_long_cine_is_lost(most: int, bits: int, tmp_path: Path) -> None:
    labels = np.zeros((2, 4, 5), np.uint16)
    labels[1, 2, 3] = most
    for name in ("a.nii.gz", "a.nrrd"):
        write_labels(list(labels), Path("a.dcm"), tmp_path / name)
        found = itk.imread(str(tmp_path / name))
        np.testing.assert_array_equal(itk.array_from_image(found), labels)
        assert itk.array_from_image(found).itemsize * 8 == bits
    write_labels([labels[1]], Path("a.dcm"), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.getpixel((3, 2)) == most


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
    Image.fromarray(np.array([[0, 3]], np.uint8)).save(png)
    png.write_bytes(png.read_bytes()[:-1])
    refused("truncated")
    png.write_bytes(b"GIF89a")
    refused(".png", ".nii.gz", ".nii")
    png.write_bytes(b"\x89PNG\r\n\x1a\n")
    refused("read")
    with raises_user_error("'.nrrd'", ".png", ".nii.gz", ".nii"):
        label_suffix("a.nrrd")


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


def test_packed_labels_come_back_in_any_order() -> None:
    chance, labels = np.random.default_rng(0), PackedLabels()
    # noise, which cannot be packed: the last frames lie on the disk
    frames = [chance.integers(0, 1 << 16, (700 + i, 600)).astype(np.uint16) for i in range(12)]
    assert sum(frame.nbytes for frame in frames) > MAX_KEPT_BYTES
    for i, frame in enumerate(frames):
        labels.append(frame)
        np.testing.assert_array_equal(labels[i // 2], frames[i // 2])
    assert len(labels) == 12
    for i in chance.permutation(12):
        np.testing.assert_array_equal(labels[int(i)], frames[i])


def test_labels_of_a_frame_are_given_other_numbers() -> None:
    labels = PackedLabels()
    for number in (1, 2):
        labels.append(np.array([[0, number, 3]], np.uint16))
    labels.rename(1, np.array([0, 1, 0, 7], np.uint16))
    assert [frame.tolist() for frame in labels] == [[[0, 1, 3]], [[0, 0, 7]]]
    assert labels[-1].tolist() == labels[1].tolist()
