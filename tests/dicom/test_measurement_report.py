"""Reports of every real ultrasound object: valid, readable, with the measures of the lesions."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from bus_monai.dicom.measurement_report import make_report
from bus_monai.dicom.read import spacing_mm
from bus_monai.dicom.segmentation import make_segmentations, tracking_uid
from bus_monai.dicom.source_header import write_dicom
from bus_monai.geometry.lesion import Lesion, label_components, measure_lesions
from bus_monai.io.ours import RESEARCH
from tests.dicom.objects import (
    ALGORITHM,
    CALIBRATED,
    CINE,
    CREATION,
    SINGLE,
    SOURCES,
    dsrdump,
    errors_of,
    labels_of,
    source_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def lesions_of(source: Dataset) -> tuple[list[Dataset], list[list[Lesion]]]:
    labels, lesions = labels_of(source), []
    for frame in range(len(labels)):
        labels[frame], _ = label_components(labels[frame] > 0)
        lesions.append(measure_lesions(labels[frame], spacing_mm=spacing_mm(source)))
    return make_segmentations(source, labels, ALGORITHM, creation=CREATION), lesions


def report_of(source: Dataset) -> Dataset:
    return make_report(source, *lesions_of(source), ALGORITHM, creation=CREATION)


def groups_of(report: Dataset) -> list[Dataset]:
    (measures,) = [x for x in report.ContentSequence if name_of(x) == "Imaging Measurements"]
    return list(measures.ContentSequence)


def name_of(item: Dataset) -> str:
    return item.ConceptNameCodeSequence[0].CodeMeaning


def values_of(group: Dataset) -> dict[str, tuple[float, str]]:
    numbers = {name_of(x): x.MeasuredValueSequence[0] for x in group.ContentSequence if x.ValueType == "NUM"}
    return {k: (float(v.NumericValue), v.MeasurementUnitsCodeSequence[0].CodeValue) for k, v in numbers.items()}


def item(group: Dataset, name: str) -> Any:
    (found,) = [x for x in group.ContentSequence if name_of(x) == name]
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_reports_are_valid_and_readable(name: str, tmp_path: Path) -> None:
    source = source_of(name)
    write_dicom(report_of(source), tmp_path / "sr.dcm")
    assert errors_of(tmp_path / "sr.dcm") == []
    text = dsrdump(tmp_path / "sr.dcm")
    assert text.startswith("Comprehensive SR Document")
    assert text.count('"Measurement Group"') == 2 + int(source.get("NumberOfFrames", 1) > 1)
    # a few objects of pydicom's are calibrated, the others say that they are not
    assert ('"Uncalibrated, lengths in pixels"' in text) == (spacing_mm(source) is None)
    assert ("({pixels},UCUM" in text) == (spacing_mm(source) is None)


def test_measures_are_those_of_the_lesion_in_mm() -> None:
    source = source_of(CALIBRATED)
    segmentations, [lesions] = lesions_of(source)
    assert [x.unit for x in lesions] == ["mm", "mm"]
    report = make_report(source, segmentations, [lesions], ALGORITHM, creation=CREATION)
    for lesion, group in zip(lesions, groups_of(report), strict=True):
        assert values_of(group) == {
            "Area": (pytest.approx(lesion.area, abs=1e-4), "mm2"),
            "Long axis": (pytest.approx(lesion.long_axis, abs=1e-4), "mm"),
            "Short axis": (pytest.approx(lesion.short_axis, abs=1e-4), "mm"),
            "Perimeter": (pytest.approx(lesion.perimeter, abs=1e-4), "mm"),
            "Depth/width ratio": (pytest.approx(lesion.depth_width_ratio, abs=1e-4), "{ratio}"),
            "Angle of long axis to skin": (pytest.approx(lesion.orientation_deg, abs=1e-4), "deg"),
            "Circularity": (pytest.approx(lesion.circularity, abs=1e-4), "1"),
        }


@pytest.mark.parametrize("is_calibrated", [True, False])
def test_what_made_it_is_said_in_words(is_calibrated: bool, tmp_path: Path) -> None:
    source = source_of(CALIBRATED)
    segmentations, [lesions] = lesions_of(source)
    sure = [replace(lesion, probability=0.875) for lesion in lesions]
    algorithm = replace(ALGORITHM, operating_point="high, threshold 0.5", is_calibrated=is_calibrated)
    report = make_report(source, segmentations, [sure], algorithm, creation=CREATION)
    write_dicom(report, tmp_path / "sr.dcm")
    assert errors_of(tmp_path / "sr.dcm") == []
    text = dsrdump(tmp_path / "sr.dcm")
    title, comment = report.ConceptNameCodeSequence[0], item(report, "Comment").TextValue
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("126000", "DCM")
    assert all(RESEARCH in said for said in (title.CodeMeaning, comment, report.SeriesDescription, text))
    said = ("lite_unet", "1.2.0", ALGORITHM.weights_hash, "high, threshold 0.5")
    assert [words for words in said if words not in comment] == []
    assert ("not calibrated" in comment) != is_calibrated
    (name,) = {name for name in values_of(groups_of(report)[0]) if "robability" in name}
    assert name.startswith("Calibrated") == is_calibrated
    assert values_of(groups_of(report)[0])[name] == (0.875, "1")
    other = make_report(source, segmentations, [sure], ALGORITHM, creation=CREATION)
    assert other.SOPInstanceUID != report.SOPInstanceUID


def test_each_group_refers_to_its_segment_and_its_frame() -> None:
    source = source_of(CINE)
    segmentations, lesions = lesions_of(source)
    report = make_report(source, segmentations, lesions, ALGORITHM, creation=CREATION)
    expected = [(segmentations[0], 1, 1), (segmentations[0], 2, 1), (segmentations[0], 1, 30)]
    for group, (made, segment, frame) in zip(groups_of(report), expected, strict=True):
        held = item(group, "Referenced Segmentation Frame").ReferencedSOPSequence[0]
        assert held.ReferencedSOPInstanceUID == made.SOPInstanceUID
        assert held.ReferencedSegmentNumber == segment
        image = item(group, "Source Image for Segmentation").ReferencedSOPSequence[0]
        assert (image.ReferencedSOPInstanceUID, image.ReferencedFrameNumber) == (source.SOPInstanceUID, frame)
        uid = item(group, "Tracking Unique Identifier").UID
        assert uid == made.SegmentSequence[segment - 1].TrackingUID == tracking_uid(source, segment, ALGORITHM)
    evidence = {
        x.ReferencedSOPInstanceUID
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for x in series.ReferencedSOPSequence
    }
    assert evidence == {source.SOPInstanceUID, *(x.SOPInstanceUID for x in segmentations)}


@pytest.mark.parametrize("name", [SINGLE, CINE])
def test_without_segmentations_the_frame_is_referred_to(name: str, tmp_path: Path) -> None:
    source = source_of(name)
    report = make_report(source, [], lesions_of(source)[1], ALGORITHM, creation=CREATION)
    write_dicom(report, tmp_path / "sr.dcm")
    assert errors_of(tmp_path / "sr.dcm") == []
    (held,) = [x for x in groups_of(report)[-1].ContentSequence if x.ValueType == "IMAGE"]
    image = held.ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.get("ReferencedFrameNumber") == (30 if name == CINE else None)


@pytest.mark.parametrize("name", [SINGLE, CINE])
def test_no_lesion_is_said(name: str, tmp_path: Path) -> None:
    source = source_of(name)
    frames: list[list[Lesion]] = [[] for _ in range(int(source.get("NumberOfFrames", 1)))]
    write_dicom(make_report(source, [], frames, ALGORITHM, creation=CREATION), tmp_path / "sr.dcm")
    assert errors_of(tmp_path / "sr.dcm") == []
    text = dsrdump(tmp_path / "sr.dcm")
    assert re.search(r'CODE:\(.*"Lesion"\)=\(.*"Absent"\)', text)
    assert "NUM:" not in text


def test_a_rerun_makes_the_same_bytes() -> None:
    files = [BytesIO(), BytesIO()]
    for file in files:
        report_of(source_of(CINE)).save_as(file, enforce_file_format=True)
    assert files[0].getvalue() == files[1].getvalue()
    assert report_of(source_of(CINE)).SOPInstanceUID != report_of(source_of(SINGLE)).SOPInstanceUID
