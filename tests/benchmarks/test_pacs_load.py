"""The load on a node: all that is acknowledged comes out, whatever the PACS refuses."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "pacs_load.py"


def test_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--instances", "3", "--associations", "2", "--pacs-refuses", "3", "--pacs-delay", "0.01"]
    monkeypatch.setattr(sys, "argv", [str(PATH), *words])
    benchmark = runpy.run_path(str(PATH))
    monkeypatch.setitem(benchmark["main"].__globals__, "MEMORY_EVERY_S", 0.5)
    benchmark["main"]()
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("3 instances of 0.48 MB, 2 associations, TLS no, PACS 0.01 s an object, ")
    (refused,) = re.findall(r"(\d+) tries refused", line)
    assert int(refused) > 0
    assert "lost 0, " in line
