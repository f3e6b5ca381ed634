"""What a million studies cost: the sum against numbers worked out by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_the_start_is_left_out_and_the_rest_is_multiplied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs of 2 and 8 files of 1 kB at half a second each and 3 for the start, that write 5 kB a file and 7 once."""
    monkeypatch.syspath_prepend(FOLDER)
    scale = import_module("scale")

    def run(files: Sequence[Path], outputs: str, out: Path) -> tuple[float, int]:
        assert all(path.read_bytes() == bytes(1000) for path in files)
        return 3 + 0.5 * len(files), 7000 + 5000 * len(files)

    monkeypatch.setattr(scale, "run", run)
    file = tmp_path / "a.dcm"
    file.write_bytes(bytes(1000))
    words = ["scale.py", str(file), "--count", "8", "--studies", "864", "--images", "1e3", "--cores", "4"]
    monkeypatch.setattr(sys, "argv", words)
    scale.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| seg")]
    # 864,000 files take 432,000 s of a core, 120 hours; four cores give 345,600 in a day
    of_a_file, of_all = ["500", "3.0", "1", "5"], ["120", "2", "0.0", "0.0", "0"]
    assert [row[1:] for row in rows] == [of_a_file, of_a_file, of_all, of_all]
