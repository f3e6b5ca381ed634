"""``bus-monai segment`` from files to files, with a small network that has learned nothing."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import bus_monai
from bus_monai.bundle.models import TrainedModel
from bus_monai.cli import main as cli
from bus_monai.data.phantoms import make_phantom
from bus_monai.geometry.lesion import find_findings
from bus_monai.inference import api as segmentation
from bus_monai.inference.predictor import Predictor
from tests.user_errors import check_said, raises_user_error


def image(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 56), dtype=np.uint8)).save(path)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bus-monai", "segment", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_masks_are_those_of_the_predictor(
    monkeypatch: pytest.MonkeyPatch, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    image(source / "a.png", 1)
    image(source / "sub" / "b.png", 2)
    (source / "c.dcm").write_bytes(b"")
    model = f"baseline:{small_weights}"
    assert run(monkeypatch, source, "--out", out, "--model", model, "--backend", "onnx", "--tta", "--write", "png") == 1
    printed = capsys.readouterr().out
    assert f"lesions in 2 files: {out}" in printed
    assert f"1 files could not be segmented, see '{out / 'results.csv'}'." in printed
    predictor = Predictor.from_bundle("baseline", small_weights, "onnx", tta=True)
    for name in ("a", "sub/b"):
        pixels = np.asarray(Image.open(source / f"{name}.png"), dtype=np.float32) / np.float32(255)
        mask = np.asarray(Image.open(out / f"{name}_mask.png")) > 0
        np.testing.assert_array_equal(mask, find_findings(predictor.predict(pixels), 0.5).labels > 0)
    with (out / "results.csv").open(newline="") as file:
        assert {Path(row["file"]).name: row["state"] for row in csv.DictReader(file)} == {
            "a.png": "done", "b.png": "done", "c.dcm": "failed",
        }  # fmt: skip


def test_in_python(small_weights: Path, tmp_path: Path) -> None:
    predictor = Predictor.from_bundle("baseline", small_weights, "onnx")
    path = image(tmp_path / "a.png", 1)
    result = bus_monai.segment(path, predictor)
    gray = np.asarray(Image.open(path))
    of_array = bus_monai.segment(np.stack([gray] * 3, axis=-1), predictor, spacing_mm=(0.5, 0.5))
    np.testing.assert_allclose(of_array.probability, result.probability, atol=1e-5)
    np.testing.assert_array_equal(result.mask, find_findings(result.probability, 0.5).labels > 0)
    assert len(result.lesions) == result.labels.max()
    assert {lesion.unit for lesion in of_array.lesions} <= {"mm"}
    with raises_user_error((3, 4, 5), "(H, W)", "(H, W, 3)"):
        bus_monai.segment(np.zeros((3, 4, 5)), predictor)


def test_a_result_shows_itself() -> None:
    result = bus_monai.segment(make_phantom(3, (128, 160)).image, spacing_mm=(0.25, 0.25))
    assert len(result.lesions) == 1
    page = result._repr_html_()
    assert (page.count("<tr>"), page.count("<p>")) == (2, 0)
    encoded = re.search('base64,([^"]+)', page)
    assert encoded is not None
    with Image.open(io.BytesIO(base64.b64decode(encoded[1]))) as picture:
        assert picture.width >= 160
        assert picture.height > 128
    lesion = result.lesions[0]
    assert repr(result).startswith(f"<Result of 128 x 160 pixels: {lesion.long_axis:.3g} x {lesion.short_axis:.3g} mm")
    none = replace(result, lesions=(), labels=0 * result.labels, notes=("no <spacing>",))
    assert none._repr_html_().endswith("<p>No lesion.</p><p>no &lt;spacing&gt;</p>")
    assert repr(none) == "<Result of 128 x 160 pixels: no lesion>"


def test_new_weights_at_the_same_path_count_at_once(small_weights: Path, tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    shutil.copy(small_weights.with_name("settings.json"), tmp_path)
    pixels = np.random.default_rng(0).random((40, 56), dtype=np.float32)
    state = torch.load(small_weights, weights_only=True)
    results = []
    for sign in (1, -1):
        torch.save({key: sign * value if value.is_floating_point() else value for key, value in state.items()}, weights)
        os.utime(weights, ns=(0, 0))
        results.append(bus_monai.segment(pixels, f"baseline:{weights}").probability)
        expected = Predictor.from_bundle("baseline", weights).predict(pixels)
        np.testing.assert_array_equal(results[-1], expected)
    assert np.abs(results[0] - results[1]).max() > 0.01


def test_a_model_is_loaded_once(monkeypatch: pytest.MonkeyPatch, small_weights: Path) -> None:
    made: list[object] = []

    class Counted(Predictor):
        def __init__(self, model: TrainedModel, **options: Any) -> None:
            made.append(model)
            super().__init__(model, backend="torch", **options)

    monkeypatch.setattr(segmentation, "Predictor", Counted)
    monkeypatch.setattr(segmentation, "_loaded", {})
    for _ in range(2):
        bus_monai.segment(np.ones((8, 8), dtype=np.float32), f"baseline:{small_weights}")
    assert len(made) == 1


def test_wrong_words_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (image(tmp_path / "a.png"), "--out", tmp_path / "out", "--model", f"baseline:{small_weights}")
    assert run(monkeypatch, *words, "--backend", "tvm", "--write", "png") == 2
    check_said(capsys.readouterr().err, "tvm", "auto", "openvino", "onnx", "torch", key="backend")
    assert run(monkeypatch, *words, "--write", "mask") == 2
    check_said(capsys.readouterr().err, "'mask'", "seg", "sr", key="--write")
    assert run(monkeypatch, *words, "--engine", "dask") == 2
    check_said(capsys.readouterr().err, "dask", "local", "ray", key="--engine")
    assert run(monkeypatch, *words, "--ray-workers", "2") == 2
    check_said(capsys.readouterr().err, "--ray-address", "--ray-workers", "--engine ray")
    with monkeypatch.context() as patch:
        patch.setattr("bus_monai.errors.find_spec", lambda name: None)
        assert run(patch, *words, "--engine", "ray") == 2
    check_said(capsys.readouterr().err, "'bus-monai[ray]'", key="'ray'")
    assert not (tmp_path / "out").exists()


def test_cold_with_a_cached_graph(small_weights: Path, tmp_path: Path) -> None:
    """Neither torch nor MONAI is imported, and less than PyTorch alone would bring."""
    pytest.importorskip("openvino")
    Predictor.from_bundle("baseline", small_weights)  # fills the cache
    path = image(tmp_path / "a.png", 1)
    code = (
        "import sys; from bus_monai.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'monai', 'pandas', 'matplotlib', 'pydicom', 'highdicom', 'ray'} & set(sys.modules))\n"
        "print(len(sys.modules))"
    )
    words = ["segment", str(path), "--model", f"baseline:{small_weights}", "--backend", "openvino", "--min-area", "1"]
    command = [sys.executable, "-c", code, *words, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, printed, heavy, count = done.stdout.splitlines()
    assert int(printed.split(" lesions in 1 files: ")[0]) > 0  # measuring is part of it
    assert heavy == "set()"
    assert int(count) < 1000
