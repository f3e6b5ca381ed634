"""The benchmark of cines runs, and gray is faster than color."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from bus_monai.inference.executors.local import usable_cores

PATH = Path(__file__).parents[2] / "benchmarks" / "cine.py"


def test_the_ratio_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = runpy.run_path(str(PATH))
    # a short cine instead of the long one
    short = get_testdata_file("examples_ybr_color.dcm")
    monkeypatch.setitem(benchmark["main"].__globals__, "get_testdata_file", lambda name: short)
    benchmark["main"](["--kinds", "png", "--repeats", "1"])
    rgb, gray, ratio, *segmented = capsys.readouterr().out.splitlines()
    assert rgb.startswith("pydicom to RGB")
    expected = float(gray.split()[-2]) / float(rgb.split()[-2])
    assert float(ratio.removeprefix("ratio ")) == pytest.approx(expected, rel=0.1)
    assert expected > 1
    assert [line.split()[-2] for line in segmented] == [str(count) for count in sorted({1, usable_cores()})]
    assert all(0 < float(line.split()[3]) < float(gray.split()[-2]) for line in segmented)
