"""Weights into networks: one file, or several for an ensemble."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from bus_monai.bundle.models import (
    TrainedModel,
    find_model,
    load_network,
    parse_models,
    register_model,
    weights_hash,
)
from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.settings import write_settings
from bus_monai.networks.weights import save_weights
from tests.user_errors import raises_user_error


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(nn.Linear(3, 3).state_dict(), tmp_path / "m.pt")
    assert load_network(nn.Linear(3, 3), tmp_path / "m.pt").weight.shape == (3, 3)
    with raises_user_error("generator", "use_gate", "dilated_position", path=tmp_path / "m.pt"):
        load_network(nn.Linear(4, 4), tmp_path / "m.pt")


def test_several_files_make_an_ensemble_of_copies(tmp_path: Path) -> None:
    network, x = nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2)
    for name, value in (("a.pt", 2.0), ("b.pt", -4.0)):
        save_weights({"weight": torch.full((1, 1, 1, 1), value), "bias": torch.zeros(1)}, tmp_path / name)
    members = [load_network(nn.Conv2d(1, 1, 1), tmp_path / name)(x).sigmoid() for name in ("a.pt", "b.pt")]
    ensemble = load_network(network, f"{tmp_path / 'a.pt'},{tmp_path / 'b.pt'}", "cpu")
    torch.testing.assert_close(ensemble(x).sigmoid(), sum(members) / 2)


def test_an_ensemble_takes_images_alike(tmp_path: Path) -> None:
    """All run with the settings of the first; in what only a training uses they may differ."""
    for name, settings in (
        ("a", {"image_size": [64, 64], "g_lr": 0.001}),
        ("b", {"image_size": [64, 64], "g_lr": 0.01}),
        ("c", {"image_size": [128, 128]}),
    ):
        (tmp_path / name).mkdir()
        write_settings(tmp_path / name, settings)
        (tmp_path / name / "model.pt").touch()
    a, b, c = (str(tmp_path / name / "model.pt") for name in "abc")
    assert parse_models([f"rdau_gan:{a},{b}"])[0].settings["g_lr"] == 0.001
    with raises_user_error(f"'{a}' has image_size [64, 64]", f"'{c}' has [128, 128]", key="image_size"):
        parse_models([f"rdau_gan:{a},{b},{c}"])


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """An empty registry of MLflow, and a cache of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # where MLflow keeps what it is given
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_a_model_comes_back_from_the_registry_by_version_and_by_alias(registry: MlflowClient, tmp_path: Path) -> None:
    own = find_model("lite_unet")
    trained = tmp_path / "runs" / "model.pt"
    trained.parent.mkdir()
    write_settings(trained.parent, {"image_size": [128, 128]})
    trained.write_bytes(b"weights of a training")
    other = TrainedModel("runs", find_bundle("rdau_gan"), str(trained), {})
    assert [register_model(model, "bus_monai") for model in (own, other)] == [1, 2]
    registry.set_registered_model_alias("bus_monai", "production", "2")
    first, second = parse_models(["models:/bus_monai/1", "models:/bus_monai@production"])
    assert [(model.name, model.bundle.name) for model in (first, second)] == [
        ("bus_monai-1", "lite_unet"),
        ("bus_monai-2", "rdau_gan"),
    ]
    assert (weights_hash(first), weights_hash(second)) == (weights_hash(own), weights_hash(other))
    assert first.settings == own.settings
    assert second.settings["image_size"] == [128, 128]
    registry.set_registered_model_alias("bus_monai", "production", "1")  # rolled back
    (back,) = parse_models(["models:/bus_monai@production"])
    assert back.files == first.files  # fetched once

    for wrong in ("models:/bus_monai/9", "models:/bus_monai@nobody", "models:/none/1"):
        with raises_user_error(f"'{wrong}'", key="MLFLOW_TRACKING_URI"):
            parse_models([wrong])
    with raises_user_error("'models:/bus_monai'"):
        parse_models(["models:/bus_monai"])
    registry.delete_model_version_tag("bus_monai", "2", "bundle")
    with raises_user_error("'bundle'"):
        parse_models(["models:/bus_monai/2"])
    with raises_user_error(key="model"):
        register_model(TrainedModel("two", own.bundle, f"{trained},{trained}", {}), "bus_monai")
