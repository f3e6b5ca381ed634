"""Segmentations of every real ultrasound object: valid, exact to the pixel, and the same again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import UltrasoundImageStorage

from bus_monai.dicom import segmentation
from bus_monai.dicom.read import spacing_mm
from bus_monai.dicom.segmentation import frame_of, index_segments, lesion_planes, make_segmentations, tracking_uid
from bus_monai.dicom.source_header import write_dicom
from bus_monai.io.ours import RESEARCH
from bus_monai.sources.listing import list_sources
from tests.dicom.objects import ALGORITHM, CALIBRATED, CINE, CREATION, SINGLE, SOURCES, errors_of, labels_of, source_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def made_of(source: Dataset, labels: NDArray[np.int32] | None = None) -> list[Dataset]:
    return make_segmentations(source, labels_of(source) if labels is None else labels, ALGORITHM, creation=CREATION)


def stored(dataset: Dataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read_back(path: Path, labels: NDArray[np.int32]) -> None:
    """Put the lesions of a written object where they say they are."""
    made = pydicom.dcmread(path)
    names = {int(s.SegmentNumber): int(s.SegmentLabel.removeprefix("Lesion ")) for s in made.SegmentSequence}
    assert list(names) == list(range(1, len(names) + 1))
    pixels = made.pixel_array.reshape(-1, made.Rows, made.Columns)
    for plane, group in zip(pixels, made.PerFrameFunctionalGroupsSequence, strict=True):
        shared = made.SharedFunctionalGroupsSequence[0]
        segment = group.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        frame = int(image.get("ReferencedFrameNumber", made.InstanceNumber)) - 1
        labels[frame][plane > 0] = names[int(segment[0].ReferencedSegmentNumber)]


@pytest.mark.parametrize("name", [*SOURCES, "eCT_Supplemental.dcm", "emri_small.dcm", "MR_small.dcm"])
def test_lesions_come_back_to_the_pixel_from_valid_objects(name: str, tmp_path: Path) -> None:
    source = source_of(name)
    labels = labels_of(source)
    back = np.zeros_like(labels)
    objects = made_of(source, labels)
    told_frames = len(labels) == 1 or source.SOPClassUID != UltrasoundImageStorage
    assert len(objects) == (1 if told_frames else 2)
    for made in objects:
        write_dicom(made, tmp_path / "seg.dcm")
        assert errors_of(tmp_path / "seg.dcm") == []
        assert list_sources(tmp_path / "seg.dcm") == []
        read_back(tmp_path / "seg.dcm", back)
        reference = made.ReferencedSeriesSequence[0]
        assert reference.SeriesInstanceUID == source.SeriesInstanceUID
        instance = reference.ReferencedInstanceSequence[0]
        assert instance.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert instance.ReferencedSOPClassUID == source.SOPClassUID
    np.testing.assert_array_equal(back, labels)


def test_each_segment_says_what_it_is_and_who_found_it() -> None:
    source = source_of(SINGLE)
    (made,) = made_of(source)
    assert [s.SegmentLabel for s in made.SegmentSequence] == ["Lesion 1", "Lesion 3"]
    segment = made.SegmentSequence[1]
    assert segment.TrackingUID == tracking_uid(source, 3, ALGORITHM)
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Lesion"
    assert segment.AnatomicRegionSequence[0].CodeMeaning == "Breast"
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("lite_unet", "1.2.0")
    assert algorithm.AlgorithmParameters == f"weights={ALGORITHM.weights_hash}"
    assert made.SegmentationType == "BINARY"
    assert (made.ContentDate, made.ContentTime) == ("20260304", "050607.000089")
    assert made.DeviceSerialNumber == ALGORITHM.weights_hash


@pytest.mark.parametrize("name", [SINGLE, CINE, "OBXXXX1A_2frame.dcm"])
def test_planes_come_back_by_frame(name: str) -> None:
    source = source_of(name)
    labels = labels_of(source)
    planes = lesion_planes(made_of(source))
    assert sorted(planes) == sorted({0, len(labels) - 1})
    for frame, inside in planes.items():
        np.testing.assert_array_equal(inside, labels[frame] > 0)


def test_it_says_that_it_is_research() -> None:
    for name in (SINGLE, CINE):
        for made in made_of(source_of(name)):
            assert made.SeriesDescription.startswith(RESEARCH)
            assert made.ContentLabel == "RESEARCH_LESIONS"
            assert made.ContentDescription.startswith("RESEARCH")


def test_a_cine_has_an_object_of_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(CINE)
    labels = labels_of(source)
    labels[7] = labels[-1]
    (made,) = made_of(source, labels)
    assert [s.SegmentLabel for s in made.SegmentSequence] == ["Lesion 1", "Lesion 3"]
    groups = made.PerFrameFunctionalGroupsSequence
    shown = [list(group.FrameContentSequence[0].DimensionIndexValues) for group in groups]
    assert shown == [[1, 1], [2, 1], [2, 8], [2, 30]]
    assert [group.SegmentIdentificationSequence[0].ReferencedSegmentNumber for group in groups] == [1, 2, 2, 2]
    assert frame_of(made) is None
    assert index_segments([made])[None, "Lesion 3"] == (made, 2)
    monkeypatch.setattr(segmentation, "MAX_BYTES", 3 * labels[0].size // 8)
    assert len(made_of(source, labels)) == 3


@pytest.mark.parametrize("size", [(9, 7), (8, 8)])
def test_planes_that_begin_amid_a_byte_come_back(size: tuple[int, int], tmp_path: Path) -> None:
    source = source_of(CINE)
    source.Rows, source.Columns, source.NumberOfFrames = *size, 3
    labels = np.random.default_rng(0).integers(0, 3, (3, *size)).astype(np.int32)
    (made,) = made_of(source, labels)
    write_dicom(made, tmp_path / "seg.dcm")
    back = np.zeros_like(labels)
    read_back(tmp_path / "seg.dcm", back)
    np.testing.assert_array_equal(back, labels)


def test_what_may_not_be_told_its_frames_has_an_object_a_frame_that_holds_a_lesion_of_one_series() -> None:
    source = source_of(CINE)
    source.SOPClassUID = UltrasoundImageStorage
    labels = labels_of(source)
    labels[7] = labels[-1]
    objects = made_of(source, labels)
    assert [int(x.InstanceNumber) for x in objects] == [1, 8, 30]
    assert len({x.SeriesInstanceUID for x in objects}) == 1
    assert len({x.SOPInstanceUID for x in objects}) == 3
    assert len({x.SegmentSequence[-1].TrackingUID for x in objects}) == 1
    segments = index_segments(objects)
    assert segments[0, "Lesion 3"] == (objects[0], 2)
    assert segments[7, "Lesion 3"] == (objects[1], 1)
    assert (7, "Lesion 1") not in segments
    assert (8, "Lesion 3") not in segments


def test_no_lesion_no_object() -> None:
    source = source_of(SINGLE)
    assert made_of(source, np.zeros((1, 240, 320), np.int32)) == []


def test_a_rerun_makes_the_same_bytes_and_anything_else_another_object() -> None:
    source = source_of(CINE)
    first = made_of(source)
    assert [stored(x) for x in first] == [stored(x) for x in made_of(source_of(CINE))]
    labels = labels_of(source)
    labels[:, 6, 10] = 0
    other_model = replace(ALGORITHM, weights_hash="ff")
    later = make_segmentations(source, labels_of(source), ALGORITHM, creation=CREATION + timedelta(days=1))
    moved = made_of(source, labels)
    other = make_segmentations(source, labels_of(source), other_model, creation=CREATION)
    assert later[0].SOPInstanceUID == first[0].SOPInstanceUID
    assert len({x[0].SOPInstanceUID for x in (first, moved, other)}) == 3
    assert moved[0].SeriesInstanceUID == first[0].SeriesInstanceUID != other[0].SeriesInstanceUID


def test_the_calibration_of_the_region_is_passed_on() -> None:
    source = source_of(CALIBRATED)
    (made,) = made_of(source)
    (measures,) = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert tuple(measures.PixelSpacing) == pytest.approx(spacing_mm(source))
    assert "PixelMeasuresSequence" not in made_of(source_of(SINGLE))[0].SharedFunctionalGroupsSequence[0]


def test_the_source_is_left_as_it_was() -> None:
    source = source_of(CINE)
    made_of(source)
    assert source == source_of(CINE)
    whole = pydicom.dcmread(str(get_testdata_file(SINGLE)))
    assert stored(made_of(whole)[0]) == stored(made_of(source_of(SINGLE))[0])


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Labels of shape \(1, 3, 4\) are not those of the source's frames"):
        made_of(source_of(SINGLE), np.zeros((1, 3, 4), np.int32))
