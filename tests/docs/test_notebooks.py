"""The notebooks run, in a kernel of their own, and leave and show what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow
NOTEBOOKS = ROOT / "docs" / "notebooks"


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run a notebook in a folder and return the outputs of its cells; an error in a cell is one here."""
    nbformat = pytest.importorskip("nbformat", reason="pip install 'bus-monai[test]'")
    client = pytest.importorskip("nbclient", reason="pip install 'bus-monai[test]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    client.NotebookClient(notebook, timeout=PATIENCE_S, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def printed(outputs: list[Any]) -> str:
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout")


def shown(outputs: list[Any], kind: str) -> int:
    return sum(kind in output.get("data", {}) for output in outputs)


def test_train_evaluate_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = run("train_evaluate_compare", tmp_path, monkeypatch)
    dice = dict(re.findall(r"^(plain|equalized) +dice +([\d.]+) \[", printed(outputs), re.MULTILINE))
    assert {name: float(value) > 0.4 for name, value in dice.items()} == {"plain": True, "equalized": True}
    assert re.search(r"^plain - equalized: [+-]\d\.\d+, .*groups", printed(outputs), re.MULTILINE)
    assert shown(outputs, "image/png") == 2
    left = ["plain/model.pt", "equalized/settings.json", "results/plain/cases.csv", "mlflow.db"]
    assert [name for name in left if not (tmp_path / "notebook_runs" / name).is_file()] == []


def test_segment_measure_dicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = run("segment_measure_dicom", tmp_path, monkeypatch)
    assert shown(outputs, "text/html") == 1
    assert shown(outputs, "image/png") == 1
    text = printed(outputs)
    assert re.search(r"^lesion 1: 1[01]\.\d x 1[01]\.\d mm", text, re.MULTILINE)
    assert "does not look like ultrasound of a breast" in text
    assert re.search(r"^  Long axis: 1[01]\.\d+ mm$", text, re.MULTILINE)
    assert {path.name for path in (tmp_path / "notebook_segmented" / "out").glob("breast_benign*")} == {
        f"breast_benign_{kind}" for kind in ("seg.dcm", "sr.dcm", "overlay.png")
    }
