"""Weights and graphs that come with a bundle: small, found first, and the same model."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bus_monai.bundle import registry
from bus_monai.bundle.models import parse_models
from bus_monai.bundle.registry import SHIPPED_FILE, TRAINED_FILE, find_bundle, list_bundles
from bus_monai.inference.predictor import Predictor, graph_name
from bus_monai.inference.ship_model import ship_model
from bus_monai.networks.weights import read_weights
from tests.user_errors import check_sentence, raises_user_error


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``baseline`` that is the only bundle there is."""
    source = find_bundle("baseline")
    folder = tmp_path / "bundles" / "baseline"
    shutil.copytree(source / "configs", folder / "configs")
    monkeypatch.setattr(registry, "BUNDLE_FOLDERS", (tmp_path / "bundles",))
    return folder


def test_weights_and_graph_are_the_default(bundle: Path, small_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list_bundles()[0].weights is None
    weights, graph = ship_model(f"baseline:{small_weights}")
    assert (weights, graph.parent) == (bundle / "models" / SHIPPED_FILE, bundle / "models")
    assert weights.stat().st_mode == (graph / "model.onnx").stat().st_mode
    assert weights.stat().st_size < 0.6 * small_weights.stat().st_size
    assert (graph / "model.onnx").stat().st_size < 0.6 * small_weights.stat().st_size
    onnx.checker.check_model(onnx.load(graph / "model.onnx"), full_check=True)
    assert list_bundles()[0].weights == weights
    (model,) = parse_models(["baseline"], segmenters=True)
    assert (model.weights, model.files) == (None, [weights])
    assert model.settings == json.loads((small_weights.parent / "settings.json").read_text())
    assert graph.name == graph_name(model)

    monkeypatch.setattr("bus_monai.inference.predictor._make", None)  # nothing is exported any more
    pixels = np.random.default_rng(0).random((45, 60), dtype=np.float32)
    expected = Predictor(model, backend="torch", precision="fp32").predict(pixels)
    found = Predictor(model, backend="onnx").predict(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    trained = Predictor.from_bundle("baseline", small_weights, "torch", precision="fp32").predict(pixels)
    np.testing.assert_allclose(found, trained, atol=0.02)
    assert np.abs(found - trained).max() > 0  # rounded weights, or this test compares a model with itself

    shutil.copy(small_weights, bundle / "models" / TRAINED_FILE)
    assert parse_models(["baseline"])[0].files == [bundle / "models" / TRAINED_FILE]


def test_loaded_weights_are_float32(bundle: Path, small_weights: Path) -> None:
    weights, _ = ship_model(f"baseline:{small_weights}")
    before, after = read_weights(small_weights), read_weights(weights)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        expected = value.half().float() if value.is_floating_point() and value.ndim > 1 else value
        assert torch.equal(after[name], expected), name
    weights.write_bytes(weights.read_bytes()[:-10])
    with raises_user_error(path=weights):
        read_weights(weights)


def test_what_cannot_be_shipped(bundle: Path, small_weights: Path, tmp_path: Path) -> None:
    with raises_user_error(f"baseline:{small_weights},{small_weights}"):
        ship_model(f"baseline:{small_weights},{small_weights}")
    state = read_weights(small_weights)
    name = next(name for name, value in state.items() if value.ndim > 1)
    state[name][0] = 1e6
    torch.save(state, tmp_path / "model.pt")
    with raises_user_error(name):
        ship_model(f"baseline:{tmp_path / 'model.pt'}")
    assert not (bundle / "models" / SHIPPED_FILE).exists()


def test_as_a_command_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ship_model", "nothing:x.pt"])
    # so that it is run anew
    monkeypatch.delitem(sys.modules, "bus_monai.inference.ship_model")
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("bus_monai.inference.ship_model", run_name="__main__")
    # a text as the code is printed, and the process ends with 1
    check_sentence(stop.value.code, "'nothing'", "baseline", key="bundle")


@pytest.mark.parametrize("info", list_bundles(), ids=lambda info: info.name)
def test_a_shipped_graph_is_that_of_the_shipped_weights(info: registry.BundleInfo) -> None:
    """Else a change of a config, of the version or of the weights would make every first run export it anew."""
    weights = info.root / "models" / SHIPPED_FILE
    for graph in (info.root / "models").glob("graph-*"):
        (model,) = parse_models([f"{info.name}:{weights}"])
        assert graph.name == graph_name(model), f"run python -m bus_monai.inference.ship_model {info.name}:{weights}"
