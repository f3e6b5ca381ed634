"""Files of results, and what is said of their labels, without a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bus_monai.inference.segment_frames import SegmentedFile
from bus_monai.io.opened import open_source
from tests.label.conftest import png_of
from tests.user_errors import raises_user_error

LABELS = np.zeros((64, 64), np.uint8)
LABELS[10:20, 30:50] = 2


@pytest.fixture(scope="module")
def tasks(label_module: Callable[[str], ModuleType]) -> ModuleType:
    return label_module("infer_tasks")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(png_of())
    return tmp_path / "a.png"


def test_labels_are_named_outlined_and_written_in_the_kind_that_is_asked_for(tasks: ModuleType, image: Path) -> None:
    params = tasks.describe([LABELS], 0.3)
    assert params["label_names"] == {"lesion 2": 2}
    (contour,) = params["contours"]
    assert (contour["label"], contour["frame"]) == (2, 0)
    # the same mask under another number, and another mask
    assert params["mask_sha256"] == tasks.describe([LABELS // 2], 0.3)["mask_sha256"]
    assert params["mask_sha256"] != tasks.describe([LABELS[::-1]], 0.3)["mask_sha256"]

    files = tasks.ResultFiles()
    usual = files.write([LABELS], image, None, params)
    assert usual.suffix == ".png"
    np.testing.assert_array_equal(np.asarray(Image.open(usual)), LABELS)
    volume = np.asarray(nib.load(files.write([LABELS], image, ".nii.gz", params)).dataobj)
    np.testing.assert_array_equal(volume.squeeze().T, LABELS)
    assert json.loads(files.write([LABELS], image, ".json", params).read_text()) == params["contours"]


def test_a_result_that_cannot_be_written_leaves_no_file(tasks: ModuleType) -> None:
    files, begun = tasks.ResultFiles(), []

    def fail(path: Path) -> None:
        begun.append(path)
        path.write_bytes(b"half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        files.make(".png", fail)
    assert not begun[0].exists()


def test_a_point_of_3d_slicer_lands_where_it_was_set_in_an_image_that_is_read_turned(
    tasks: ModuleType, tmp_path: Path
) -> None:
    affine = np.array([[0.3, 0, 0, -1.5], [0, 0.2, 0, -0.6], [0, 0, 1, 0], [0, 0, 0, 1]])
    stored = np.full((64, 48, 1), 150, np.uint8)
    stored[5:20, 30:42] = 20
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "a.nii")
    task = tasks.ClickTask(SimpleNamespace(description="a model", predictor=lambda sensitivity: (None, 0)))

    def marked(**prompts: object) -> np.ndarray:
        file, _ = task({"image": str(tmp_path / "a.nii"), "contours": [], **prompts})
        return np.asarray(nib.load(file).dataobj)

    assert marked(foreground=[[12, 36, 0]])[12, 36, 0] == 1
    assert marked(roi=[5, 20, 30, 42, 0, 1])[12, 36, 0] == 1
    # the page's clicks are pixels of the picture, which shows both axes from their ends
    shown = {"clicks": [[63 - 12, 47 - 36, 0, 1]]}
    np.testing.assert_array_equal(marked(**shown), marked(foreground=[[12, 36, 0]]))


class UnlikeBreast:
    """What finds a sure lesion, an unsure one and a small one, in what does not look like a breast."""

    calibration = None
    probability = np.zeros((64, 64), np.float32)
    probability[4:16, 4:16], probability[40:52, 40:52], probability[40:44, 4:8] = 0.6, 0.3, 0.9

    def assess(self, pixels: np.ndarray, shows: object) -> tuple[np.ndarray, float]:
        return self.probability, np.inf

    def predict(self, pixels: np.ndarray, shows: object) -> np.ndarray:
        return self.probability


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"min_area": 0}, (True, False, True)),
        ({"min_area": 100}, (True, False, False)),
        ({"min_area": 0, "threshold": 0.25}, (True, True, True)),
        ({"min_area": 0, "threshold": 0.7}, (False, False, True)),
    ],
)
def test_clicks_change_what_the_same_options_found(
    tasks: ModuleType, image: Path, options: dict[str, float], found: tuple[bool, ...]
) -> None:
    model = UnlikeBreast()
    task = tasks.ClickTask(SimpleNamespace(description="a model", predictor=lambda sensitivity: (model, 0)))
    request = {"image": str(image), "clicks": [[60, 2, 0, 0]], **options}
    with raises_user_error("--any-body-part", path=image):
        task(request)
    labels = np.asarray(Image.open(task({**request, "any_body_part": True})[0]))
    expected = np.zeros((64, 64), bool)
    for box, here in zip((np.s_[4:16, 4:16], np.s_[40:52, 40:52], np.s_[40:44, 4:8]), found, strict=True):
        expected[box] = here
    np.testing.assert_array_equal(labels > 0, expected)


def test_a_picture_has_no_dicom_object(tasks: ModuleType, image: Path) -> None:
    found = SegmentedFile([LABELS], [[]], None, 0, np.zeros((64, 64), np.float32))
    with open_source(image) as source, raises_user_error(".png", ".nii.gz", ".json", path="a.png"):
        tasks.write_object(found, source, image.with_suffix(".dcm"), None, None)
    assert not image.with_suffix(".dcm").exists()
