from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from bus_monai.errors import UserError
from bus_monai.label.label_file import label_suffix, read_labels, write_labels

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

    def message(shape: tuple[int, int, int] = (1, 1, 2)) -> str:
        with pytest.raises(UserError) as caught:
            read_labels(png, shape)
        return str(caught.value)

    Image.fromarray(np.zeros((1, 2), np.uint8)).save(png)
    assert message((1, 2, 2)) == (
        "The label 'a.png' is 1 x 1 x 2 but its image 1 x 2 x 2 (frames, rows, columns): draw anew."
    )
    Image.fromarray(np.zeros((1, 2, 3), np.uint8)).save(png)
    assert message() == "The label 'a.png' is in colours: send the number of the lesion as grey."
    Image.fromarray(np.array([[0, 300]], np.uint16)).save(png)
    assert message() == "The label 'a.png' holds other values than 0 to 255: send the number of the lesion."
    png.write_bytes(b"GIF89a")
    assert message() == ("The label 'a.png' is no PNG or NIfTI file: send it as one of .png, .nii.gz, .nii.")
    png.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert message().startswith("The label 'a.png' cannot be read (")
    with pytest.raises(UserError, match=r"^A label comes as '\.nrrd': send it as one of \.png, \.nii\.gz, \.nii\.$"):
        label_suffix("a.nrrd")
