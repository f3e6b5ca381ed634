"""The benchmark of exported files runs."""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bus_monai.inference.export import Drift

PATH = Path(__file__).parents[2] / "benchmarks" / "export.py"


def test_a_row_is_measured(small_weights: Path, small_phantoms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = runpy.run_path(str(PATH))
    (model,) = benchmark["parse_models"]([f"baseline:{small_weights}"])
    drift, ratio = benchmark["measure"](model, "torchscript", False, small_phantoms, 1, 1)
    assert drift.images == 3
    assert drift.largest < 1e-5
    assert 0 < ratio < 100
    line = benchmark["row"]("baseline", "onnx", True, Drift(3, 0.0123, -0.0004), 2.5)
    assert line == "| baseline | onnx int8 | 1.2e-02 | -0.0004 | 2.50 |"
    assert benchmark["HEAD"].splitlines()[0].count("|") == line.count("|")
    monkeypatch.setattr(sys, "argv", [str(PATH)])
    with pytest.raises(SystemExit):
        benchmark["main"]()


def test_a_ratio_above_one_is_faster_than_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = runpy.run_path(str(PATH))
    image = np.zeros((1, 1), np.float32)
    clock = [0.0]

    def taking(seconds: float) -> Callable[[NDArray[np.float32]], None]:
        return lambda pixels: clock.__setitem__(0, clock[0] + seconds)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert benchmark["times_eager"](taking(0.5), taking(2), [image] * 3, 2) == 4
