"""Overlays as secondary captures: valid, of one frame or many, in the colors that were given."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from bus_monai.dicom.secondary_capture import make_secondary_capture
from bus_monai.dicom.source_header import write_dicom
from bus_monai.io.ours import RESEARCH
from tests.dicom.objects import ALGORITHM, CINE, CREATION, SINGLE, SOURCES, errors_of, source_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def overlays(source: Dataset, frames: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[: source.Rows, : source.Columns]
    one = np.stack([y % 256, x % 256, (x + y) // 8 % 256], axis=-1).astype(np.uint8)
    return np.stack([np.roll(one, 16 * frame, axis=0) for frame in range(frames)])


@pytest.mark.parametrize("name", SOURCES)
def test_overlays_are_valid_and_come_back(name: str, tmp_path: Path) -> None:
    source = source_of(name)
    frames = min(3, int(source.get("NumberOfFrames") or 1))
    rgb = overlays(source, frames)
    made = make_secondary_capture(source, rgb, ALGORITHM, creation=CREATION)
    write_dicom(made, tmp_path / "sc.dcm")
    assert errors_of(tmp_path / "sc.dcm") == []
    back = pixel_array(tmp_path / "sc.dcm").reshape(rgb.shape)
    # JPEG loses a little, most of it at the edges of color
    assert np.abs(back.astype(int) - rgb).mean() < 2
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert made.SOPClassUID.name == (
        "Multi-frame True Color Secondary Capture Image Storage" if frames > 1 else "Secondary Capture Image Storage"
    )


@pytest.mark.parametrize(("said", "expected"), [("NO", "NO"), ("YES", "YES"), (None, "YES"), ("no", "YES")])
def test_names_burnt_in_are_those_of_the_source(said: str | None, expected: str) -> None:
    source = source_of(SINGLE)
    if said is not None:
        source.BurnedInAnnotation = said
    made = make_secondary_capture(source, overlays(source, 1), ALGORITHM, creation=CREATION)
    assert made.BurnedInAnnotation == expected
    assert made.SeriesDescription.startswith(RESEARCH)
    assert made.ImageComments == RESEARCH


def test_a_cine_keeps_its_time() -> None:
    source = source_of(CINE)
    made = make_secondary_capture(source, overlays(source, 2), ALGORITHM, creation=CREATION)
    assert made.NumberOfFrames == 2
    assert made.FrameTime == source.FrameTime


def test_a_rerun_makes_the_same_bytes_and_another_picture_another_object() -> None:
    source, files = source_of(SINGLE), [BytesIO(), BytesIO()]
    rgb = overlays(source, 1)
    for file in files:
        made = make_secondary_capture(source, rgb, ALGORITHM, creation=CREATION)
        made.save_as(file, enforce_file_format=True)
    assert files[0].getvalue() == files[1].getvalue()
    other = make_secondary_capture(source, 255 - rgb, ALGORITHM, creation=CREATION)
    assert other.SOPInstanceUID != made.SOPInstanceUID
    assert other.SeriesInstanceUID == made.SeriesInstanceUID
