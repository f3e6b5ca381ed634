"""What comes with weights or from elsewhere is data: none of it reaches MONAI's parser as code."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from monai.bundle.config_parser import ConfigParser

from bus_monai.bundle.models import TrainedModel, find_model, parse_models
from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.settings import path_text, read_config, read_settings
from bus_monai.cli import main as cli
from bus_monai.data.datalist import read_datalist
from bus_monai.inference.api import segment
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.predictor import Predictor
from tests.inference.segment_files import draw
from tests.user_errors import check_sentence, raises_user_error

RAN = "$__import__('pathlib').Path('{ran}').touch() or [32, 32]"
"""An expression that leaves a file where it is run."""
HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"image_size": RAN}, "image_size"),
    ({"image_size": [32, RAN]}, "image_size#1"),
    ({"network_options": {"depth": RAN}}, "network_options#depth"),
    ({"network_options": {"depth": [{"a": RAN}]}}, "network_options#depth#0#a"),
    ({"network_options": {"_target_": "os.mkdir", "path": "{ran}"}}, "network_options#_target_"),
    ({"network_options": {"a": {"_target_": "os.mkdir", "path": "{ran}"}}}, "network_options#a#_target_"),
    ({"network_name": {"_target_": "os.mkdir", "path": "{ran}"}}, "network_name#_target_"),
    ({"network_name": "%{macro}::run"}, "network_name"),
    ({"network_name": "@network_def"}, "network_name"),
    ({"network_name": " " + RAN}, "network_name"),
    ({"speckle": "@load"}, "speckle"),
    ({"_target_": "os.mkdir", "path": "{ran}"}, "_target_"),
    ({"no_setting": RAN}, "no_setting"),
    ({"before_network#transforms": [RAN]}, "before_network#transforms"),
    ({RAN: 1}, "$__import__"),
]
"""Settings of ``baseline``, and the key that is named."""
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"image_sise": [32, 32]}, "image_sise", "did you mean 'image_size'?"),
    ({"output_dir": "/tmp/x"}, "output_dir", "baseline"),
    ({"ckpt_path": "x.pt"}, "ckpt_path", "baseline"),
    ({"device": "cuda"}, "device", "baseline"),
    ({"network_def": {"a": 1}}, "network_def", "baseline"),
    ({"image_size": "32"}, "image_size", "a list of 2, each a whole number from 8 to 2048"),
    ({"image_size": [32, 32, 32]}, "image_size", "a list of 2"),
    ({"image_size": [100_000, 32]}, "image_size", "2048"),
    ({"image_size": [float("nan"), 32]}, "image_size", "2048"),
    ({"image_size": [32.0, 32]}, "image_size", "whole number"),
    ({"overlap": 1.0}, "overlap", "0.95"),
    ({"threshold": -0.1}, "threshold", "from 0 to 1"),
    ({"threshold": True}, "threshold", "number"),
    ({"amp": 1}, "amp", "true or false"),
    ({"lr": float("inf")}, "lr", "number"),
    ({"seed": 10**30}, "seed", "whole number"),
    ({"batch_size": None}, "batch_size", "whole number"),
    ({"network_options": {"base_width": 10**9}}, "network_options", "names with values"),
    ({"network_name": "x" * 10_000}, "network_name", "plain data"),
    ({"network_options": {str(n): n for n in range(1000)}}, "network_options", "plain data"),
]
COMMANDS = [
    ["segment", "{images}", "--model", "{model}", "--out", "{out}"],
    ["segment", "{images}", "--model", "{model}", "--out", "{out}", "--backend", "torch"],
    ["serve", "--allow", "A", "--send-to", "A@127.0.0.1:1", "--model", "{model}", "--spool", "{out}"],
    ["label", "--studies", "{images}", "--bundles", "{model}"],
    ["evaluate", "{model}", "--out", "{out}"],
    ["evaluate", "{model}", "lite_unet", "--robustness", "--out", "{out}"],
    ["export", "{model}", "--out", "{out}.onnx"],
    ["explain", "{model}", "{images}", "--out", "{out}"],
    ["mammo", "{images}", "--segmentation", "{model}", "--out", "{out}"],
]
"""Every command that loads a model."""


def filled(value: Any, **names: object) -> Any:
    """Return JSON with ``{ran}`` and the like in it filled in."""
    if isinstance(value, dict):
        return {filled(key, **names): filled(item, **names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, **names) for item in value]
    if not isinstance(value, str):
        return value
    for name, text in names.items():
        value = value.replace(f"{{{name}}}", str(text))
    return value


def shipped(path: Path, settings: Any) -> Path:
    """Write a file of weights without any, and with settings."""
    header = json.dumps({"__metadata__": {"settings": settings if isinstance(settings, str) else json.dumps(settings)}})
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    return path


def beside(folder: Path, settings: Any) -> Path:
    """Write ``model.pt`` and the settings beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(settings if isinstance(settings, str) else json.dumps(settings))
    (folder / "model.pt").write_bytes(b"")
    return folder / "model.pt"


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A path that is there only after something ran."""
    (tmp_path / "macro.json").write_text(json.dumps({"run": RAN.replace("{ran}", str(tmp_path / "ran"))}))
    return tmp_path / "ran"


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run the command in this process, and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["bus-monai", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize(("settings", "key"), HOSTILE)
def test_settings_of_weights_are_no_code(settings: dict[str, Any], key: str, ran: Path, tmp_path: Path) -> None:
    settings = filled(settings, ran=ran, macro=tmp_path / "macro.json")
    for weights in (shipped(tmp_path / "x.safetensors", settings), beside(tmp_path / "trained", settings)):
        with raises_user_error(str(weights), key, "run or look up"):
            parse_models([f"baseline:{weights}"])
        with raises_user_error(str(weights), key):
            Predictor.from_bundle("baseline", weights)
    assert not ran.exists()


@pytest.mark.parametrize(("settings", "key", "says"), WRONG)
def test_settings_of_weights_are_of_declared_names_types_and_ranges(
    settings: dict[str, Any], key: str, says: str, tmp_path: Path
) -> None:
    for weights in (shipped(tmp_path / "x.safetensors", settings), beside(tmp_path / "trained", settings)):
        with raises_user_error(str(weights), key, says, key=key):
            parse_models([f"baseline:{weights}"])


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", '{"lr": 1' + " " * 200_000 + "}"])
def test_settings_that_are_none_are_a_sentence(text: str, tmp_path: Path) -> None:
    for weights in (shipped(tmp_path / "x.safetensors", text), beside(tmp_path / "trained", text)):
        with raises_user_error(path=weights if weights.suffix == ".safetensors" else weights.parent / "settings.json"):
            read_settings(weights)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_runs_what_weights_say(
    command: list[str], ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command[0] == "serve":
        pytest.importorskip("pynetdicom")
    weights = shipped(tmp_path / "x.safetensors", filled({"image_size": RAN}, ran=ran))
    (tmp_path / "images").mkdir()
    bundle = "mammo_cgan" if command[0] == "mammo" else "lite_unet"
    words = filled(command, images=tmp_path / "images", model=f"{bundle}:{weights}", out=tmp_path / "out")
    if command[0] == "mammo":
        words += ["--detection", f"mass_detection:{weights}", "--shape", f"mass_shape:{weights}"]
    assert run(monkeypatch, *words) == 2
    assert not ran.exists()
    check_sentence(capsys.readouterr().err, "image_size", path=weights)


@pytest.fixture
def foreign(tmp_path: Path, small_weights: Path, ran: Path) -> Path:
    """A bundle that is not of the package, whose configs leave a file where they are run."""
    folder = tmp_path / "theirs"
    shutil.copytree(find_bundle("baseline") / "configs", folder / "configs")
    shutil.copytree(small_weights.parent, folder / "models")
    for name in ("inference.json", "train.json", "evaluate.json"):
        path = folder / "configs" / name
        content = json.loads(path.read_text())
        content["device"] = f"$[__import__('pathlib').Path('{ran}').touch(), torch.device('cpu')][1]"
        path.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("command", [*COMMANDS, ["train", "{model}"], ["sweep", "{model}", "--folds"]], ids=" ".join)
def test_a_bundle_of_others_runs_with_trust_alone(
    command: list[str],
    foreign: Path,
    ran: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if command[0] == "serve":
        pytest.importorskip("pynetdicom")
    (tmp_path / "images").mkdir()
    words = filled(command, images=tmp_path / "images", model=foreign, out=tmp_path / "out")
    if command[0] == "mammo":
        words += ["--detection", foreign, "--shape", foreign]
    assert run(monkeypatch, *words) == 2
    assert not ran.exists()
    check_sentence(capsys.readouterr().err, "--trust", path=foreign)


def test_python_runs_a_bundle_of_others_with_trust_alone(foreign: Path, ran: Path) -> None:
    for call in (lambda: Predictor.from_bundle(foreign), lambda: find_model(foreign), lambda: find_bundle(foreign)):
        with raises_user_error(path=foreign, key="--trust"):
            call()
    with raises_user_error(path=foreign, key="--trust"):
        segment(np.eye(64, dtype=np.float32), foreign)
    assert not ran.exists()
    assert find_model(foreign, trust=True).bundle == foreign
    Predictor.from_bundle(foreign, backend="torch", trust=True)
    assert ran.exists()


def test_commands_run_a_bundle_of_others_with_trust(
    foreign: Path, ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "train", foreign, "--trust", "--help") == 0
    assert str(foreign / "configs" / "train.json") in capsys.readouterr().out
    assert not ran.exists()
    words = ["--model", foreign, "--trust", "--backend", "torch", "--write", "png", "--out", tmp_path / "out"]
    assert run(monkeypatch, "segment", draw(tmp_path / "x.png", (2, 2, 8, 8)), *words) == 0
    assert ran.exists()


def test_the_bundles_of_the_package_are_trusted_by_their_paths_too(monkeypatch: pytest.MonkeyPatch) -> None:
    root = find_bundle("lite_unet")
    assert find_bundle(root) == root
    monkeypatch.chdir(root.parent)
    assert find_bundle("./lite_unet") == root


def test_monai_warns_of_configs_of_others_alone(monkeypatch: pytest.MonkeyPatch, foreign: Path) -> None:
    configs = [root / "configs" / "train.json" for root in (find_bundle("lite_unet"), foreign)]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert run(monkeypatch, "--version") == 0
        for config in configs:
            warnings.warn(f"parsing config_file {config}: any value in it may run", stacklevel=1)
    assert [str(config) for config in configs if any(str(config) in str(warning.message) for warning in seen)] == [
        str(configs[1])
    ]


def test_settings_in_python_are_checked_too() -> None:
    with raises_user_error("image_size", key="image_size"):
        TrainedModel("x", find_bundle("baseline"), "x.pt", {"image_size": "$1"})


def test_no_path_is_code(ran: Path) -> None:
    for text in (filled(RAN, ran=ran), "@network", "%a.json"):
        model = TrainedModel("x", find_bundle("baseline"), text)
        assert model.overrides("inference.json")["ckpt_path"][0] == "."
        assert Path(path_text(text)) == Path(text)


@pytest.mark.parametrize(
    "content",
    [
        {"size": "$1", "crop_region": False},
        {"size": [32], "crop_region": False},
        {"size": [10**9, 32], "crop_region": False},
        {"size": [32, 32.0], "crop_region": False},
        {"size": [32, 32], "crop_region": "$1"},
        {"size": [32, 32]},
        [],
    ],
)
def test_what_lies_beside_a_graph_is_plain(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "chain.json"
    path.write_text(json.dumps(content))
    with raises_user_error(path=path):
        Chain.read(path)


def test_a_parent_run_of_others_is_no_code(monkeypatch: pytest.MonkeyPatch, ran: Path, tmp_path: Path) -> None:
    """Of a folder that is gone on with, which holds MLflow's store and the identity in it."""
    module = importlib.import_module("bus_monai.handlers.mlflow")
    found = Mock(**{"get_run.return_value.info.run_id": filled(RAN, ran=ran)})
    monkeypatch.setattr(module, "MlflowClient", lambda store: found)
    (tmp_path / "mlflow_run").write_text(filled(RAN, ran=ran))
    with raises_user_error("MLflow", "parent_run", key="parent_run"):
        assert module.ParentRun(tmp_path, experiment="baseline", name="baseline, 5 folds").id


def test_what_a_datalist_says_is_no_code(ran: Path, tmp_path: Path, small_phantoms: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(small_phantoms, folder)
    path = folder / "datalist.json"
    content = json.loads(path.read_text())
    text = filled(RAN, ran=ran)
    for number, item in enumerate(item for section in ("training", "validation", "test") for item in content[section]):
        item |= {"group": f"{text} {number}", "dataset": text}
    path.write_text(json.dumps(content | {"name": text, "_target_": "os.abort"}))
    config = read_config(find_bundle("baseline") / "configs" / "evaluate.json") | {"dataset_dir": str(folder)}
    dataset = ConfigParser(config).get_parsed_content("dataset")
    assert [item["group"].startswith(text) for item in dataset.data] == [True] * len(content["test"])
    assert dataset[0]["image"].shape == (1, 128, 128)
    assert not ran.exists()
    for key, value in (("id", text), ("diagnosis", text), ("dataset", {"_target_": "os.abort"}), ("image", text)):
        changed = json.loads(json.dumps(content))
        changed["training"][0][key] = value
        path.write_text(json.dumps(changed))
        with raises_user_error("refers to" if key == "image" else key):
            read_datalist(folder)
    path.write_text("[" * 100_000)
    with raises_user_error(path=path):
        read_datalist(folder)
