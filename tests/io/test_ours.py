"""A run replaces what an earlier one wrote, and nothing else."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest

from bus_monai.io.atomic import write_json, write_table
from bus_monai.io.ours import PNG_MARK, check_run_files, is_table_of
from bus_monai.metrics.case_table import CASE_COLUMNS
from tests.user_errors import raises_user_error

matplotlib.use("agg")
FILES = {"tables": {"cases.csv": CASE_COLUMNS}, "beside": ["summary.json"], "marked": ["examples.png"]}


def figure(path: Path, **options: object) -> None:
    from matplotlib.figure import Figure

    Figure(figsize=(1, 1)).savefig(path, **options)


def test_an_empty_folder_and_one_of_an_earlier_run_are_taken(tmp_path: Path) -> None:
    check_run_files(tmp_path / "none", **FILES)
    write_table(tmp_path / "cases.csv", CASE_COLUMNS, [])
    write_json(tmp_path / "summary.json", {})
    figure(tmp_path / "examples.png", metadata=PNG_MARK)
    check_run_files(tmp_path, **FILES)


@pytest.mark.parametrize("name", ["cases.csv", "summary.json", "examples.png", "examples.svg"])
def test_a_file_of_somebody_else_is_not(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.stem == "examples":
        figure(path)
    else:
        path.write_text("id,group,diagnosis\n1,2,benign\n")
    with raises_user_error(path=path, key="output_dir"):
        check_run_files(tmp_path, **FILES)


def test_links_that_lead_nowhere_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").symlink_to(tmp_path / "gone")
    with raises_user_error(path=tmp_path / "cases.csv", key="output_dir"):
        check_run_files(tmp_path, **FILES)


def test_a_table_is_known_by_its_first_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("id,group,diagnosis,has_lesion,new\n")
    assert is_table_of(path, CASE_COLUMNS)
    path.write_text("id,group,diagnosis,has_lesions\n")
    assert not is_table_of(path, CASE_COLUMNS)
    with raises_user_error(path=path):
        write_table(path, CASE_COLUMNS, [])
    assert path.read_text() == "id,group,diagnosis,has_lesions\n"
