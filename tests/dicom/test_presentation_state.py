"""Presentation states of every real ultrasound object: valid, with contours where the lesions are."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from bus_monai.dicom.presentation_state import make_presentation_state
from bus_monai.dicom.read import spacing_mm
from bus_monai.dicom.segmentation import has_frame_numbers, tracking_uid
from bus_monai.dicom.source_header import write_dicom
from bus_monai.geometry.lesion import measure_lesions
from bus_monai.io.ours import RESEARCH
from tests.conftest import skip
from tests.dicom.objects import ALGORITHM, CALIBRATED, CINE, CREATION, SINGLE, SOURCES, errors_of, labels_of, source_of
from tests.user_errors import raises_user_error

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def boxes_of(source: Dataset) -> NDArray[np.int32]:
    """A lesion in the first frame, in the last another one, or the same one where there are several frames."""
    labels = np.zeros_like(labels_of(source))
    labels[0, 5:25, 9:40] = 1
    labels[-1, 30:41, 3:20] = 2 if len(labels) == 1 else 1
    return labels


def state_of(source: Dataset, labels: NDArray[np.int32] | None = None) -> Dataset:
    labels = boxes_of(source) if labels is None else labels
    lesions = [measure_lesions(frame, spacing_mm=spacing_mm(source)) for frame in labels]
    return make_presentation_state(source, labels, lesions, ALGORITHM, creation=CREATION)


@pytest.mark.parametrize("name", SOURCES)
def test_states_are_valid_and_contours_lie_on_the_lesions(name: str, tmp_path: Path) -> None:
    source = source_of(name)
    labels = boxes_of(source)
    if len(labels) > 1 and not has_frame_numbers(source):
        with raises_user_error("several frames"):
            state_of(source)
        return
    write_dicom(state_of(source), tmp_path / "pr.dcm")
    assert errors_of(tmp_path / "pr.dcm") == []
    made = pydicom.dcmread(tmp_path / "pr.dcm")
    is_gray = source.PhotometricInterpretation.startswith("MONOCHROME")
    assert made.SOPClassUID.name.startswith("Grayscale" if is_gray else "Color")
    drawn = np.zeros(labels.shape, bool)
    for note in made.GraphicAnnotationSequence[1:]:
        frame = int(note.ReferencedImageSequence[0].get("ReferencedFrameNumber", 1)) - 1
        for shape in note.GraphicObjectSequence:
            points = np.reshape(shape.GraphicData, (-1, 2))
            np.testing.assert_array_equal(points[0], points[-1])
            picture = Image.new("1", labels.shape[:0:-1])
            # Pillow counts from the middle of the first pixel
            ImageDraw.Draw(picture).polygon([tuple(point) for point in points - 0.5], fill=1)
            drawn[frame] |= np.asarray(picture)
    inside = labels > 0
    assert (drawn & inside).sum() / (drawn | inside).sum() > 0.9


def test_words_say_research_and_measures() -> None:
    made = state_of(source_of(CALIBRATED))
    assert made.ContentLabel == "RESEARCH_LESIONS"
    assert made.SeriesDescription.startswith(RESEARCH)
    strip, notes = made.GraphicAnnotationSequence
    assert strip.TextObjectSequence[0].UnformattedTextValue.split("\r\n") == [RESEARCH, "lite_unet 1.2.0"]
    texts = [text.UnformattedTextValue for text in notes.TextObjectSequence]
    assert [text[:3] for text in texts] == ["1: ", "2: "]
    assert all(text.endswith(" mm") for text in texts)
    uids = [shape.TrackingUID for shape in notes.GraphicObjectSequence]
    assert uids == [tracking_uid(source_of(CALIBRATED), number, ALGORITHM) for number in (1, 2)]
    (area,) = made.DisplayedAreaSelectionSequence
    assert area.PresentationPixelSpacing == pytest.approx(list(spacing_mm(source_of(CALIBRATED)) or ()), abs=1e-5)


def test_without_a_lesion_it_says_so(tmp_path: Path) -> None:
    source = source_of(SINGLE)
    made = state_of(source, np.zeros_like(labels_of(source)))
    write_dicom(made, tmp_path / "pr.dcm")
    assert errors_of(tmp_path / "pr.dcm") == []
    (strip,) = made.GraphicAnnotationSequence
    assert strip.TextObjectSequence[0].UnformattedTextValue.endswith("no lesion found")


def test_each_frame_of_a_cine_has_its_own() -> None:
    made = state_of(source_of(CINE))
    frames = [note.ReferencedImageSequence[0].ReferencedFrameNumber for note in made.GraphicAnnotationSequence[1:]]
    assert frames == [1, 30]


def test_a_rerun_makes_the_same_bytes_and_anything_else_another_object() -> None:
    for name in (CALIBRATED, SINGLE):
        files = [BytesIO(), BytesIO()]
        for file in files:
            state_of(source_of(name)).save_as(file, enforce_file_format=True)
        assert files[0].getvalue() == files[1].getvalue()
        other = state_of(source_of(name), np.roll(boxes_of(source_of(name)), 1, axis=2))
        assert other.SOPInstanceUID != state_of(source_of(name)).SOPInstanceUID


def test_dcmtk_shows_the_image_by_it(tmp_path: Path) -> None:
    """It draws no annotations, but takes the object and leaves the pixels as they are."""
    tool = shutil.which("dcmp2pgm")
    if not tool:
        skip("no viewer of presentation states: install dcmtk")
    name = "gdcm-US-ALOKA-16.dcm"
    source = pydicom.dcmread(str(get_testdata_file(name)))
    if source.PhotometricInterpretation != "MONOCHROME2":
        source.PhotometricInterpretation, source.SamplesPerPixel = "MONOCHROME2", 1
        source.BitsAllocated, source.BitsStored, source.HighBit, source.PixelRepresentation = 8, 8, 7, 0
        source.PixelData = bytes(source.Rows * source.Columns // 2) + b"\xc8" * (source.Rows * source.Columns // 2)
        for keyword in [element.keyword for element in source if "Palette" in element.name]:
            delattr(source, keyword)
    source.save_as(tmp_path / "us.dcm")
    write_dicom(state_of(source), tmp_path / "pr.dcm")
    subprocess.run(
        [tool, "-p", tmp_path / "pr.dcm", tmp_path / "us.dcm", tmp_path / "out.pgm"], check=True, capture_output=True
    )
    shown = np.asarray(Image.open(tmp_path / "out.pgm"))
    assert shown.shape == (source.Rows, source.Columns)
    assert (shown[10, 10], shown[-10, 10]) == (0, 200)
