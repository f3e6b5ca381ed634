"""Shape words: the real tables, with exact counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bus_monai.data.readers.mammography import DDSM_TABLES, read_masses, write_mass_shapes
from bus_monai.data.readers.shapes import report_shapes, shapes_text
from tests.user_errors import raises_user_error


def test_real_tables(shared: Path) -> None:
    masses = read_masses(shared / "data" / "cbis_ddsm")
    assert len(masses) == 1696
    assert shapes_text((mass.image_id, mass.number, mass.shape) for mass in masses) == (
        "1424 masses kept (irregular 464, lobular 384, oval 412, round 164), 272 dropped ("
        "ARCHITECTURAL_DISTORTION 103, IRREGULAR-ARCHITECTURAL_DISTORTION 52, LYMPH_NODE 35, "
        "ASYMMETRIC_BREAST_TISSUE 25, FOCAL_ASYMMETRIC_DENSITY 25, "
        "LOBULATED-IRREGULAR 6, OVAL-LYMPH_NODE 6, LOBULATED-LYMPH_NODE 4, NA 4, ROUND-OVAL 3, "
        "IRREGULAR-FOCAL_ASYMMETRIC_DENSITY 2, LOBULATED-ARCHITECTURAL_DISTORTION 2, "
        "IRREGULAR-ASYMMETRIC_BREAST_TISSUE 1, LOBULATED-OVAL 1, OVAL-LOBULATED 1, "
        "ROUND-IRREGULAR-ARCHITECTURAL_DISTORTION 1, ROUND-LOBULATED 1)."
    )


@pytest.mark.parametrize(
    ("table", "counts"),
    [
        (DDSM_TABLES[0], "1100 masses kept (irregular 351, lobular 305, oval 321, round 123), 218 dropped ("),
        (DDSM_TABLES[1], "324 masses kept (irregular 113, lobular 79, oval 91, round 41), 54 dropped ("),
    ],
)
def test_each_table_by_the_written_file(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, counts: str
) -> None:
    shutil.copy(shared / "data" / "cbis_ddsm" / table, tmp_path / table)
    write_mass_shapes(tmp_path, tmp_path)
    report_shapes(tmp_path, enabled=False)
    report_shapes(tmp_path)
    assert capsys.readouterr().out.startswith(counts)


def test_nothing_dropped_is_said() -> None:
    said = shapes_text([("a", 1, "OVAL"), ("a", 2, "ROUND")])
    assert said == "2 masses kept (irregular 0, lobular 0, oval 1, round 1), 0 dropped (none)."


def test_missing_file(tmp_path: Path) -> None:
    with raises_user_error(path=tmp_path / "mass_shapes.csv"):
        report_shapes(tmp_path)
