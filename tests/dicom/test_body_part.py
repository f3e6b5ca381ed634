"""What an object says of the part of the body that it shows."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from bus_monai.dicom.body_part import check_body_part
from bus_monai.errors import NotAssessedError
from bus_monai.io.opened import open_source


class Source:
    """An opened file with this header."""

    def __init__(self, **values: object) -> None:
        self.path = Path("a.dcm")
        self.header = Dataset()
        for keyword, value in values.items():
            setattr(self.header, keyword, value)


def region(code: str, scheme: str = "SCT") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, scheme, "?"
    return [item]


BREAST: list[dict[str, object]] = [
    {},
    {"BodyPartExamined": "BREAST"},
    {"StudyDescription": "US Mamma beidseits"},
    {"StudyDescription": "ULTRASSONOGRAFIA DE MAMAS"},
    {"SeriesDescription": "Écho-mammaire: seins"},
    {"StudyDescription": "乳腺超声"},
    {"AnatomicRegionSequence": region("76752008")},
    {"AnatomicRegionSequence": region("T-04030", "SRT")},
    {"AnatomicRegionSequence": region("HEART", "LOCAL")},  # a code of nobody's
    {"StudyDescription": "routine follow-up", "ProtocolName": "default", "TransducerData": ["L12-5", "", ""]},
    # a preset that was left as it was
    {"BodyPartExamined": "ABDOMEN", "StudyDescription": "Breast left"},
    {"TransducerData": ["C5-1", "", ""], "ProtocolName": "Breast"},
]
OTHER: list[tuple[dict[str, object], str]] = [
    ({"BodyPartExamined": "HEART"}, "BodyPartExamined"),
    ({"StudyDescription": "Echocardiogram"}, "StudyDescription"),
    ({"SeriesDescription": "Fötus, 2. Trimenon: FETAL BIOMETRY"}, "SeriesDescription"),
    ({"ProtocolName": "OB 1st"}, "ProtocolName"),
    ({"StudyDescription": "Ecografía de tiroides"}, "StudyDescription"),
    ({"TransducerData": ["C5-1", "UNUSED", "UNUSED"]}, "TransducerData"),
    ({"TransducerData": ["S5_1", "55360", ""]}, "TransducerData"),
    ({"TransducerType": "SECTOR_PHASED"}, "TransducerType"),
    ({"AnatomicRegionSequence": region("80891009")}, "AnatomicRegionSequence"),
]


@pytest.mark.parametrize("values", BREAST)
def test_a_breast_or_nothing(values: dict[str, object]) -> None:
    check_body_part(Source(**values))  # type: ignore[arg-type]


@pytest.mark.parametrize(("values", "key"), OTHER)
def test_something_else(values: dict[str, object], key: str) -> None:
    with pytest.raises(NotAssessedError) as caught:
        check_body_part(Source(**values))  # type: ignore[arg-type]
    assert (caught.value.path, caught.value.key) == (Path("a.dcm"), key)
    # whatever else is said, a breast decides
    check_body_part(Source(**values | {"PatientComments": "-"} | ({"StudyDescription": "Mammasonographie"})))  # type: ignore[arg-type]


@given(st.text(max_size=64))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(NotAssessedError):
        check_body_part(Source(StudyDescription=text.replace("\\", "")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("examples_palette.dcm", "TransducerData"),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", "TransducerData"),
        ("color-pl.dcm", "StudyDescription"),
        ("examples_rgb_color.dcm", None),  # says nothing
        ("US1_UNCR.dcm", None),
    ],
)
def test_real_files(name: str, key: str | None) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not at hand: install pydicom-data")
    with open_source(path) as source:
        try:
            check_body_part(source)
            found = None
        except NotAssessedError as error:
            found = error.key
    assert found == key
