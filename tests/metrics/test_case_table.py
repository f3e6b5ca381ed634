from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.metrics.case_table import (
    CASE_COLUMNS,
    CaseRow,
    by_diagnosis,
    by_lesion_size,
    read_case_table,
    write_case_table,
)
from bus_monai.metrics.findings import Finding
from bus_monai.metrics.segmentation import score_case
from tests.user_errors import raises_user_error

FINDINGS = (Finding(0.85, 1), Finding(0.6, 0))
LESION = CaseRow.of(
    replace(score_case(np.array([[0.9, 0.8, 0.1]]), np.array([[1, 0, 0]]), spacing_mm=(0.1, 0.3)), findings=FINDINGS),
    id="case-1",
    group="p1",
    diagnosis="malignant",
)
NORMAL = CaseRow.of(score_case(np.zeros((1, 3)), np.zeros((1, 3))), id="case-2", group="p2", diagnosis="normal")
SCORES = st.none() | st.floats(allow_nan=False)


def test_table_begins_with_the_case_and_leaves_none_empty(tmp_path: Path) -> None:
    write_case_table(tmp_path / "cases.csv", [NORMAL])
    header, line = (tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("id,group,diagnosis,has_lesion,tp,fp,fn,tn,accuracy,dice,iou,precision,sensitivity,")
    assert line == "case-2,p2,normal,False,0,0,0,3,1.0,,,,,1.0,,,,,,0,0,,,False,0,0,0,,,0:3"


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    write_case_table(tmp_path / "cases.csv", [LESION, NORMAL])
    assert read_case_table(tmp_path / "cases.csv") == [LESION, NORMAL]


@given(
    dice=SCORES,
    hd95_mm=SCORES,
    accuracy=st.floats(allow_nan=False),
    tp=st.integers(0),
    group=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    has_lesion=st.booleans(),
)
def test_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, **values: object) -> None:
    path = tmp_path_factory.mktemp("table") / "cases.csv"
    row = replace(LESION, **values)  # type: ignore[arg-type]
    write_case_table(path, [row])
    assert read_case_table(path) == [row]


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    write_case_table(tmp_path / "cases.csv", [])
    assert read_case_table(tmp_path / "cases.csv") == []


def test_a_table_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    write_case_table(path, [LESION])

    def broken():  # type: ignore[no-untyped-def]
        yield NORMAL
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        write_case_table(path, broken())
    assert read_case_table(path) == [LESION]
    assert [file.name for file in tmp_path.iterdir()] == ["cases.csv"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "cases.csv"
    with raises_user_error(path=path):
        write_case_table(path, [])


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text(",".join(name for name in CASE_COLUMNS if name != "fp") + "\n", encoding="utf-8")
    with raises_user_error(path=path, key="fp"):
        read_case_table(path)


@pytest.mark.parametrize(
    ("old", "new", "column", "value"),
    [
        (",True,", ",yes,", "has_lesion", "yes"),
        ("malignant", "bad", "diagnosis", "bad"),
        (",0.5,", ",half,", "iou", "half"),
        (",1,1,0,0.85", ",1,1,0.85", "false_components", "0.85:1 0.6:0"),
        ("0.85:1", "0.85", "findings", "0.85 0.6:0"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, column: str, value: str
) -> None:
    path = tmp_path / "cases.csv"
    write_case_table(path, [NORMAL, LESION])
    text = path.read_bytes().decode()
    head, _, last = text.rpartition("case-1")
    path.write_bytes(f"{head}case-1{last.replace(old, new, 1)}".encode())
    with raises_user_error("line 3", value, path=path, key=column):
        read_case_table(path)


def test_networks_have_a_row_of_each_case(tmp_path: Path) -> None:
    rows = [LESION, NORMAL, NORMAL, LESION]
    write_case_table(tmp_path / "cases.csv", rows)
    assert read_case_table(tmp_path / "cases.csv") == rows


def test_a_case_that_comes_more_often_is_named(tmp_path: Path) -> None:
    write_case_table(tmp_path / "cases.csv", [NORMAL, LESION, NORMAL])
    with raises_user_error(f"'{NORMAL.id}'", path=tmp_path / "cases.csv"):
        read_case_table(tmp_path / "cases.csv")


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with raises_user_error(path=path):
        read_case_table(path)


def case(id: str, lesion_px: int, image_px: int) -> CaseRow:
    truth = np.arange(image_px)[None] < lesion_px
    return CaseRow.of(score_case(truth.astype(float), truth), id=id, group=id, diagnosis="unknown")


def test_cases_with_a_lesion_are_parted_by_diagnosis() -> None:
    kinds = {"a": "malignant", "b": "benign", "c": "malignant"}
    rows = [replace(case(id, 1, 2), diagnosis=kind) for id, kind in kinds.items()]  # type: ignore[arg-type]
    parts = by_diagnosis([*rows, case("normal", 0, 4)])
    assert {name: [row.id for row in part] for name, part in parts.items()} == {
        "benign": ["b"],
        "malignant": ["a", "c"],
    }
    assert list(parts) == ["benign", "malignant"]


def test_cases_with_a_lesion_are_parted_into_thirds_by_their_share_of_the_image() -> None:
    # as shares of images of different size 0.05, 0.1, 0.2, 0.3, 0.4 and 0.5
    sizes = [(5, 100), (20, 200), (20, 100), (3, 10), (40, 100), (100, 200)]
    rows = [case(f"{px}/{of}", px, of) for px, of in sizes]
    parts = by_lesion_size([case("normal", 0, 9), *rows[::-1]])
    assert {name.split(",")[0]: {row.id for row in part} for name, part in parts.items()} == {
        "small": {"5/100", "20/200"},
        "medium": {"20/100", "3/10"},
        "large": {"40/100", "100/200"},
    }
    assert list(parts)[2] == "large, up to 50.0%"
    assert by_lesion_size(rows[:2]) == by_lesion_size(rows[:2] * 2) == {}
    # of one size, all are as large as the smallest
    (name,) = by_lesion_size([replace(rows[0], id=id) for id in "abc"])
    assert name == "small, up to 5.0% of the image"
