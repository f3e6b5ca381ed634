"""The benchmark of clicks runs, and a method that heeds the image is among those compared."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "clicks.py"


def test_a_table_is_printed(
    small_phantoms: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(small_phantoms), "--images", "2", "--methods", "walk", "paint"]
    monkeypatch.setattr(sys, "argv", [str(PATH), *words])
    runpy.run_path(str(PATH), run_name="__main__")
    title, header, rule, *rows = capsys.readouterr().out.splitlines()
    assert title == "2 images, clicks to a Dice of 0.9 with 95 % interval over groups"
    assert rule.count("|") == header.count("|") == 9
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[:2] for row in cells] == [["nothing", "walk"], ["nothing", "paint"], ["box", "walk"], ["box", "paint"]]
    for _, _, *dice, clicks, missed, _ in cells:
        assert 0 <= float(dice[0]) <= float(dice[2]) <= 1
        value, low, high = (float(word.strip("[],")) for word in clicks.split())
        assert low <= value <= high
        assert 0 <= int(missed) <= 2
