"""``bus-monai export`` in words and exit codes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bus_monai.cli import main as cli
from tests.user_errors import check_said


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bus-monai", "export", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_the_drift_is_printed(
    monkeypatch: pytest.MonkeyPatch,
    small_weights: Path,
    small_phantoms: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (f"baseline:{small_weights}", "--calibration", small_phantoms)
    assert run(monkeypatch, *words, "--format", "torchscript", "--out", tmp_path / "a.ts") == 0
    line = capsys.readouterr().out.splitlines()[-1]
    pattern = r"/a\.ts: largest difference of probability (\S+), mean change of Dice [+-]0\.0000, 3 images$"
    found = re.search(pattern, line)
    assert found is not None, line
    assert float(found[1]) < 1e-5

    assert run(monkeypatch, *words, "--format", "torchscript", "--out", tmp_path / "a.ts") == 0
    capsys.readouterr()
    for name in ("a.json", "b.json", "c.ts"):
        (tmp_path / name).write_text("{}")
        assert run(monkeypatch, *words, "--format", "torchscript", "--out", (tmp_path / name).with_suffix(".ts")) == 2
        check_said(capsys.readouterr().err, path=tmp_path / name, key="--out")
        assert (tmp_path / name).read_text() == "{}"

    assert run(monkeypatch, *words, "--out", tmp_path / "a.ts") == 2
    check_said(capsys.readouterr().err, "onnx", ".onnx", path=tmp_path / "a.ts", key="--out")
    assert run(monkeypatch, "mass_detection", "--out", "a.onnx") == 2
    check_said(capsys.readouterr().err, "'mass_detection'", "configs/evaluate.json")
