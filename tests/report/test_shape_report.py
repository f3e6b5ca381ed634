"""Predicted shape against a column: counted by hand, and wrong tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_monai.metrics.shapes import ShapeRow
from bus_monai.report.shape_report import read_column, write_shapes_by_column
from tests.user_errors import raises_user_error

OVAL, ROUND = (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)
ROWS = [
    ShapeRow("P_1_m1", "1", "oval", OVAL),
    ShapeRow("P_1_m2", "1", "oval", ROUND),
    ShapeRow("P_2_m3", "2", "oval", OVAL),
    ShapeRow("P_3_m1", "3", "oval", ()),
    ShapeRow("P_4_m1", "4", "oval", OVAL),
]


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(text)
    return path


def test_counts_and_shares(tmp_path: Path) -> None:
    values = read_column(table(tmp_path, "id,age,subtype\nP_1,50,A\nP_2,51,A\nP_3,52,B\nP_4,53,\n"), "subtype")
    assert write_shapes_by_column(tmp_path / "out.csv", ROWS, values, "subtype") == ["P_4_m1"]
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "subtype,masses,not_found,irregular,lobular,oval,round,irregular_share,lobular_share,oval_share,round_share",
        "A,3,0,0,0,2,1,0.0000,0.0000,0.6667,0.3333",
        "B,1,1,0,0,0,0,,,,",
    ]


def test_masses_of_a_case_may_differ(tmp_path: Path) -> None:
    values = read_column(table(tmp_path, "id,mass,subtype\nP_1,1,A\nP_1,2,B\nP_2,3,B\n"), "subtype")
    assert write_shapes_by_column(tmp_path / "out.csv", ROWS, values, "subtype") == ["P_3_m1", "P_4_m1"]
    assert [line[:9] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]] == ["A,1,0,0,0", "B,2,0,0,0"]


@pytest.mark.parametrize(
    ("text", "key", "named"),
    [
        ("id,x\nP_1,A\n", "subtype", []),
        ("id,mass,subtype\nP_1,one,A\n", "mass", ["one", "P_1"]),
        ("id,subtype\nP_1,A\nP_1,B\n", "subtype", ["'P_1'"]),
        ("id,mass,subtype\nP_1,2,A\nP_1,2,B\n", "subtype", ["'P_1, mass 2'"]),
    ],
)
def test_wrong_tables(text: str, key: str, named: list[str], tmp_path: Path) -> None:
    path = table(tmp_path, text)
    with raises_user_error(*named, path=path, key=key):
        read_column(path, "subtype")
