"""Real ultrasound objects to DICOM objects that refer to them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from bus_monai.data.demo_files import write_demo_files
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from tests.dicom.objects import shorten
from tests.inference.bright_predictor import BrightPredictor

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))

KINDS = ("seg", "sr", "overlay", "png", "sc", "gsps")
FILES = {"US1_UNCR", "breast_benign", "examples_ybr_color"}
FRAMES = 5


class Boxes(BrightPredictor):
    """Two lesions in every image, large enough for findings, so that the time does not depend on its content."""

    def predict(self, pixels: np.ndarray, regions: object = None) -> np.ndarray:
        probability = np.zeros(pixels.shape, np.float32)
        probability[20:40, 30:80] = 0.9
        probability[60:100, 10:50] = 0.7
        return probability


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("bus_monai.dicom.segmentation")
    folder = tmp_path_factory.mktemp("segment")
    files = {path.stem: path for path in write_demo_files(folder / "in")}
    for name in files.keys() - FILES:
        files[name].unlink()
    shorten(files["examples_ybr_color"], FRAMES)
    source = files["US1_UNCR"]
    data = pydicom.dcmread(source)
    data.PatientName, data.PatientID = "PLANTED^NAME", "PLANTED-7"
    data.save_as(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        for out in ("out", "again"):
            predictor: Any = Boxes(folder / "weights")
            totals = segment_inputs(
                [folder / "in"], folder / out, predictor, SegmentSettings(KINDS, any_body_part=True)
            )
            assert (totals["done"], totals["failed"]) == (len(FILES), 0), (folder / out / "results.csv").read_text()
    return folder


def test_segmentations_hold_the_masks(written: Path) -> None:
    seg = pydicom.dcmread(written / "out" / "US1_UNCR_seg.dcm")
    mask = np.asarray(Image.open(written / "out" / "US1_UNCR_mask.png")) > 0
    assert len(seg.SegmentSequence) == 2
    np.testing.assert_array_equal(np.any(np.atleast_3d(seg.pixel_array) > 0, axis=0), mask)
    cine = sorted((written / "out").glob("examples_ybr_color_*seg.dcm"))
    assert len(cine) in (1, FRAMES)


def test_patient_and_study_are_in_objects_and_nowhere_else(written: Path) -> None:
    source = pydicom.dcmread(written / "in" / "US1_UNCR.dcm", stop_before_pixels=True)
    for kind in ("seg", "sr", "sc", "gsps"):
        made = pydicom.dcmread(written / "out" / f"US1_UNCR_{kind}.dcm", stop_before_pixels=True)
        assert (made.PatientName, made.PatientID) == ("PLANTED^NAME", "PLANTED-7")
        assert made.StudyInstanceUID == source.StudyInstanceUID
    for path in (written / "out").iterdir():
        if path.suffix != ".dcm":
            assert b"PLANTED" not in path.read_bytes(), path
    assert json.loads((written / "out" / "run.json").read_text())["counts"]["lesions"] == 2 * len(FILES)


def test_a_second_run_makes_the_same_bytes(written: Path) -> None:
    names = sorted(path.name for path in (written / "out").iterdir())
    assert names == sorted(path.name for path in (written / "again").iterdir())
    for name in names:
        if name not in ("run.json", "manifest.sqlite"):
            assert (written / "out" / name).read_bytes() == (written / "again" / name).read_bytes(), name
