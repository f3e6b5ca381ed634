"""What derived objects take over: identifiers as they are, the rest where it is valid."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from bus_monai.dicom.segmentation import make_segmentations
from bus_monai.dicom.source_header import derived_uid, source_header, write_dicom
from tests.dicom.objects import ALGORITHM, CREATION, SINGLE, SOURCES, errors_of, labels_of, source_of
from tests.user_errors import raises_user_error

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
    with raises_user_error("PNG", path=source.filename, key=keyword):
        source_header(source)


PARTS = st.lists(st.text(), max_size=4)


def test_it_is_the_same_on_every_machine() -> None:
    assert derived_uid("a", "b") == "2.25.70889510646818029623684566370032734534"


@given(PARTS, PARTS)
def test_equal_parts_and_only_they_give_equal_identifiers(one: list[str], other: list[str]) -> None:
    assert (derived_uid(*one) == derived_uid(*other)) == (one == other)
    assert derived_uid(*one).is_valid
    assert len(derived_uid(*one)) <= 44


def test_parts_are_kept_apart() -> None:
    assert len({derived_uid("ab"), derived_uid("a", "b"), derived_uid("b", "a"), derived_uid("a,b")}) == 4


def test_what_is_written_is_read(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file(SINGLE)))
    write_dicom(dataset, tmp_path / "a.dcm")
    assert pydicom.dcmread(tmp_path / "a.dcm") == dataset
    assert list(tmp_path.iterdir()) == [tmp_path / "a.dcm"]


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.dcm"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with raises_user_error(os.strerror(errno.ENOSPC), "space", path=path):
        write_dicom(source_of(SINGLE), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with raises_user_error(os.strerror(errno.ENOENT), path=tmp_path / "none" / "a.dcm"):
        write_dicom(source_of(SINGLE), tmp_path / "none" / "a.dcm")
