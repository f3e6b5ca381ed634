"""Predicted shape against a column: counted by hand, and wrong tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_monai.errors import UserError
from bus_monai.metrics.shapes import ShapeRow
from bus_monai.report.shape_report import read_column, write_shapes_by_column

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
    ("text", "message"),
    [
        ("id,x\nP_1,A\n", "'{path}' lacks the column 'subtype'"),
        (
            "id,mass,subtype\nP_1,one,A\n",
            "'{path}' has the mass 'one' of 'P_1': give its number, or leave the column out.",
        ),
        ("id,subtype\nP_1,A\nP_1,B\n", "'{path}' gives 'P_1' two values of 'subtype': keep one row."),
        ("id,mass,subtype\nP_1,2,A\nP_1,2,B\n", "'{path}' gives 'P_1, mass 2' two values of 'subtype': keep one row."),
    ],
)  # fmt: skip
def test_wrong_tables(text: str, message: str, tmp_path: Path) -> None:
    path = table(tmp_path, text)
    with pytest.raises(UserError) as error:
        read_column(path, "subtype")
    assert str(error.value).startswith(message.format(path=path))
