"""What derived objects take over: identifiers as they are, the rest where it is valid."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from bus_monai.dicom.segmentation import make_segmentations
from bus_monai.dicom.source_header import source_header
from bus_monai.dicom.write import write_dicom
from bus_monai.errors import UserError
from tests.dicom.objects import ALGORITHM, CREATION, SINGLE, SOURCES, errors_of, labels_of, source_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
COPIED = ("PatientID", "PatientName", "StudyInstanceUID", "StudyID", "AccessionNumber", "ReferringPhysicianName")


def changed(**values: object) -> Dataset:
    source = source_of(SINGLE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, value in values.items():
            setattr(source, key, value)
    return source


@pytest.mark.parametrize("name", SOURCES)
def test_patient_and_study_are_copied(name: str) -> None:
    source = source_of(name)
    (made, *_) = make_segmentations(source, labels_of(source), ALGORITHM, creation=CREATION)
    for keyword in COPIED:
        assert (made[keyword].value or "") == (source.get(keyword) or ""), keyword


def test_names_of_any_script_survive(tmp_path: Path) -> None:
    written = changed(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎", StudyID="山")
    write_dicom(written, tmp_path / "source.dcm")
    source = pydicom.dcmread(tmp_path / "source.dcm")
    assert b"\x1b$B" in source.PatientName.original_string
    (made,) = make_segmentations(source, labels_of(source), ALGORITHM, creation=CREATION)
    write_dicom(made, tmp_path / "a.dcm")
    back = pydicom.dcmread(tmp_path / "a.dcm")
    assert (str(back.PatientName), back.StudyID) == ("Yamada^Tarou=山田^太郎", "山")
    assert errors_of(tmp_path / "a.dcm") == []


def test_several_values_where_one_is_allowed_are_left_out() -> None:
    header = source_header(changed(StudyDate=["", ""], StudyTime=["1120", "1130"], PatientBirthDate=["19700101", ""]))
    assert (header.StudyDate, header.StudyTime, header.PatientBirthDate) == ("", "", "")


def test_old_dates_are_rewritten_and_invalid_codes_left_out(tmp_path: Path) -> None:
    source = changed(
        StudyDate="1994.11.05", StudyTime="11:20:00", PatientAge="old", PatientSex="female", PatientBirthDate="unknown"
    )
    header = source_header(source)
    assert (header.StudyDate, header.StudyTime) == ("19941105", "112000")
    assert (header.PatientSex, header.PatientBirthDate) == ("", "")
    assert "PatientAge" not in header
    (made,) = make_segmentations(source, labels_of(source), ALGORITHM, creation=CREATION)
    write_dicom(made, tmp_path / "a.dcm")
    assert errors_of(tmp_path / "a.dcm") == []


def test_a_name_that_falls_apart_is_one_again() -> None:
    header = source_header(changed(PatientName="DOE^JANE\\OF SOMEWHERE"))
    assert header.PatientName == "DOE^JANE OF SOMEWHERE"


def test_missing_attributes_are_empty_and_private_ones_left_out() -> None:
    source = changed()
    source.private_block(0x0011, "PRIVATE", create=True).add_new(1, "LO", "secret")
    for keyword in ("PatientID", "PatientName", "StudyDate", "AccessionNumber"):
        source.pop(keyword, None)
    header = source_header(source)
    assert (header.PatientID, header.PatientName, header.StudyDate, header.AccessionNumber) == ("", "", "", "")
    assert not any(element.tag.is_private for element in header)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID"])
@pytest.mark.parametrize("value", ["", "../1.2", "1.02.3"])
def test_an_invalid_identifier_is_named(keyword: str, value: str) -> None:
    source = changed(**{keyword: value})
    message = (
        f"'{source.filename}' has no valid {keyword}, so that no DICOM result can refer to it: mend it, or write masks "
        "as PNG instead."
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        source_header(source)
