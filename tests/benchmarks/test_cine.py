"""The benchmark of cines runs, and grey is several times faster than colour."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

PATH = Path(__file__).parents[2] / "benchmarks" / "cine.py"


def test_the_ratio_is_printed_and_above_the_promise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = runpy.run_path(str(PATH))
    # a short cine instead of the long one
    benchmark["main"].__globals__["get_testdata_file"] = lambda name: get_testdata_file("examples_ybr_color.dcm")
    benchmark["main"]()
    rgb, grey, ratio = capsys.readouterr().out.splitlines()
    assert rgb.startswith("pydicom to RGB")
    assert float(ratio.removeprefix("ratio ")) == pytest.approx(
        float(grey.split()[-2]) / float(rgb.split()[-2]), rel=0.1
    )
    assert float(ratio.removeprefix("ratio ")) > 2
