"""Which runs ``bus-monai compare`` and ``bus-monai report`` take."""

from __future__ import annotations

from pathlib import Path

from bus_monai.cli.compare import _names, compare, report
from bus_monai.metrics.aggregate import CASES_FILE
from tests.user_errors import raises_user_error


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    runs = [str(tmp_path / folder / "run") for folder in ("one", "two")]
    with raises_user_error("'run'"):
        compare(runs, out=tmp_path / "out")
    # under names that are given they are looked at, also under one, as trainings of one model
    for second in ("first", "second"):
        with raises_user_error(path=tmp_path / "one" / "run" / CASES_FILE):
            compare([f"first={runs[0]}", f"{second}={runs[1]}"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_may_have_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    folder, other = tmp_path / "lr=0.001-1a2b3c", tmp_path / "lr=0.01-4d5e6f"
    folder.mkdir()
    assert _names([str(folder), f"x={other}"]) == {folder.name: [folder], "x": [other]}


def test_a_report_is_of_what_evaluate_or_segment_wrote(tmp_path: Path) -> None:
    with raises_user_error("evaluate", path=tmp_path / CASES_FILE):
        report(tmp_path)
    assert not list(tmp_path.iterdir())
