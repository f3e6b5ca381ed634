"""The sheet of overlays: one tile a file, with what was found below."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bus_monai.cli.main import app
from bus_monai.report.contact_sheet import CAPTION_PX, GAP_PX, TILE_SIZE, write_contact_sheet
from tests.user_errors import raises_user_error

COLUMNS = ("file", "output", "state", "lesions", "unit", "area", "long_axis", "short_axis")
COLORS = {"a": (255, 0, 0), "b": (0, 255, 0), "sub/c": (0, 0, 255), "d": (255, 255, 0)}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    rows = [
        ("a.dcm", "a", "done", 2, "mm", 5.0, 3.0, 2.0),
        ("a.dcm", "a", "done", 2, "mm", 9.0, 4.0, 3.0),
        ("b.dcm", "b", "done", 0, "", "", "", ""),
        ("broken.dcm", "broken", "failed", "", "", "", "", ""),
        ("sub/c.dcm", "sub/c", "done", 1, "px", 90.0, 12.0, 9.0),
        ("d.dcm", "d", "done", 0, "", "", "", ""),
    ]
    with (tmp_path / "results.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    (tmp_path / "sub").mkdir()
    for name, color in COLORS.items():
        Image.new("RGB", (800, 600), color).save(tmp_path / f"{name}_overlay.png")
    return tmp_path


def test_each_file_has_a_tile(results: Path) -> None:
    assert write_contact_sheet(results) == results / "overview.png"
    sheet = np.asarray(Image.open(results / "overview.png"))
    width, height = TILE_SIZE
    for number, color in enumerate(COLORS.values()):
        row = GAP_PX + number // 3 * (height + CAPTION_PX + GAP_PX)
        column = GAP_PX + number % 3 * (width + GAP_PX)
        assert (sheet[row : row + height, column : column + width] == color).all(axis=-1).mean() > 0.99
        assert sheet[row + height : row + height + CAPTION_PX, column : column + width].max() > 200


def test_captions_say_what_was_found(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = []
    monkeypatch.setattr(
        "bus_monai.report.contact_sheet.draw_contact_sheet", lambda given: tiles.extend(given) or Image.new("L", (1, 1))
    )
    write_contact_sheet(results)
    assert [caption for _, caption in tiles] == [
        "a\n2 lesions, largest 4.0 x 3.0 mm",
        "b\nno lesion found",
        "sub/c\n1 lesion, 12.0 x 9.0 px",
        "d\nno lesion found",
    ]


def test_the_command_takes_the_folder_of_segment(results: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(results)])
    assert done.exit_code == 0
    assert done.stdout.strip() == str(results / "overview.png")


def test_without_overlays_it_says_so(results: Path) -> None:
    for path in results.rglob("*_overlay.png"):
        path.unlink()
    with raises_user_error(results):
        write_contact_sheet(results)
