"""The benchmark of the Ray executor: its phantoms are segmented, its table is that of its rates."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from bus_monai.inference.executors.local import LocalExecutor
from tests.inference.bright_predictor import BrightPredictor

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))

PATH = Path(__file__).parents[2] / "benchmarks" / "ray_engine.py"


def test_phantoms_are_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = runpy.run_path(str(PATH))
    source = benchmark["write_phantoms"](tmp_path / "phantoms", 3, (64, 80))
    predictor: Any = BrightPredictor(tmp_path / "weights", 0.05)
    rate, seconds = benchmark["measure"](predictor, source, tmp_path / "out", LocalExecutor(), 1)
    assert rate > 0
    assert seconds > 0
    assert len(list((tmp_path / "out").glob("*_sr.dcm"))) == 3
    assert len(list(tmp_path.glob("*.png"))) == 3
    local = {"local 1": [(9, 4), (9, 4)], "local 2": [(18, 2), (18, 2)]}
    benchmark["tell"](local | {"ray 1": [(5, 8), (4, 9)], "ray 2": [(8, 6), (6.4, 7)]}, [1, 2])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| local 1 | 9.0 | 1.00 | 1.00 | 4.0 |",
        "| local 2 | 18.0 | 1.00 | 1.00 | 2.0 |",
        "| ray 1 | 4.5 | 0.50 | 1.00 | 8.5 |",
        "| ray 2 | 7.2 | 0.40 | 0.80 | 6.5 |",
    ]
