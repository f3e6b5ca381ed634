"""MONAI's own checks of every bundle, without exclusion, and what the bundles share."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from monai.bundle.scripts import ckpt_export, create_workflow, onnx_export, verify_metadata, verify_net_in_out
from torch import nn

from bus_monai import __version__
from bus_monai.bundle.models import parse_models
from bus_monai.bundle.registry import list_bundles, output_format
from bus_monai.bundle.settings import keep_null, read_config, set_by_user
from bus_monai.data.datalist import read_datalist
from bus_monai.data.items import mass_items
from bus_monai.metrics.case_table import read_case_table
from bus_monai.metrics.shapes import read_shape_rows
from tests.bundles.small_generators import small_generators

SCHEMA = Path(__file__).parent / "meta_schema.json"
BUNDLES = {info.name: info.root / "configs" for info in list_bundles()}
QUICK = {
    "image_size": [64, 64],
    "pretrain_epochs": 0,
    "network_name": {"ssd300": "ssd_lite", "unet": "erfnet"},
    "base_width": 8,
    "encoders": ["resnet18"],
}
"""What makes a training short, where a config has such a key: a value, or another one for a slow default."""
CONFIGS = {"train": "train", "evaluate": "infer", "inference": "infer"}


def exported(*names: str) -> list[Any]:
    """By MONAI's commands; ``tests/inference`` exports every segmenter by ours, ``tests/networks`` every network."""
    return [pytest.param(name, marks=() if name in names else pytest.mark.slow) for name in BUNDLES]


RUN = [pytest.param(name, marks=() if name in ("baseline", "cgan_ac_caw") else pytest.mark.slow) for name in BUNDLES]
"""The others are trained, resumed and evaluated by tests of their own."""


@pytest.fixture(scope="module", params=BUNDLES)
def configs(request: pytest.FixtureRequest) -> Path:
    return BUNDLES[request.param]


@pytest.fixture(scope="module")
def network(configs: Path) -> nn.Module:
    torch.manual_seed(0)
    with small_generators():
        workflow = create_workflow(
            config_file=str(configs / "inference.json"), workflow_type="infer", **small_network(configs)
        )
        return workflow.parser.get_parsed_content("network_def").eval()


@pytest.fixture
def few_channels() -> Iterator[None]:
    with small_generators():
        yield


@pytest.fixture(scope="module")
def weights(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(network.state_dict(), path)
    return path


def small_network(configs: Path) -> dict[str, Any]:
    """Return what gives a bundle's network fewer channels or encoders; ``tests/networks`` has those of the papers."""
    content = read_config(configs / "inference.json")
    small = {f"settings#{key}": QUICK[key] for key in ("base_width", "encoders") if key in content["settings"]}
    if configs.parent.name == "cgan_ac_caw":
        network = content["network_def"]
        small["network_def"] = network | {"options": network["options"] | {"base_width": 8}}
    return small


def meta(configs: Path) -> str:
    return str(configs / "metadata.json")


def input_shape(configs: Path) -> list[int]:
    image = json.loads(Path(meta(configs)).read_text())["network_data_format"]["inputs"]["image"]
    return [1, image["num_channels"], *image["spatial_shape"]]


def quick(config: Path) -> dict[str, Any]:
    content = set_by_user(read_config(config))
    changes = {key: change for key, change in QUICK.items() if key in content}
    new = {k: v.get(content[k], content[k]) if isinstance(v, dict) else v for k, v in changes.items()}
    return {key: value for key, value in new.items() if value != content[key]}


def test_there_are_bundles() -> None:
    assert set(BUNDLES) == {
        "assgan",
        "baseline",
        "cgan_ac_caw",
        "lite_unet",
        "mammo_cgan",
        "mass_detection",
        "mass_shape",
        "multi_encoder_unet",
        "rdau_gan",
    }


def test_metadata_follow_the_specification(configs: Path) -> None:
    verify_metadata(meta_file=meta(configs), filepath=str(SCHEMA))


def test_metadata_name_the_version_of_this_package(configs: Path) -> None:
    assert json.loads(Path(meta(configs)).read_text())["required_packages_version"]["bus_monai"] == __version__


def test_metadata_with_a_wrong_type_are_caught(configs: Path, tmp_path: Path) -> None:
    """The check can fail."""
    content = json.loads(Path(meta(configs)).read_text())
    content["network_data_format"]["inputs"]["image"]["num_channels"] = "one"
    wrong = tmp_path / "metadata.json"
    wrong.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="'one' is not of type 'integer'"):
        verify_metadata(meta_file=str(wrong), filepath=str(SCHEMA))


@pytest.mark.parametrize("config", ["train", "inference"])
def test_network_takes_and_gives_what_the_metadata_say(config: str, configs: Path, small_phantoms: Path) -> None:
    verify_net_in_out(
        net_id="network_def", meta_file=meta(configs), config_file=str(configs / f"{config}.json"), device="cpu",
        dataset_dir=str(small_phantoms),
    )  # fmt: skip


@pytest.mark.parametrize("configs", exported("lite_unet", "mass_detection", "mass_shape"), indirect=True)
@pytest.mark.usefixtures("few_channels")
def test_torchscript_export(configs: Path, network: nn.Module, weights: Path, tmp_path: Path) -> None:
    script = tmp_path / "model.ts"
    ckpt_export(
        net_id="network_def", filepath=str(script), ckpt_file=str(weights), meta_file=meta(configs),
        config_file=str(configs / "inference.json"), **small_network(configs),
    )  # fmt: skip
    assert_equals_eager(lambda x: torch.jit.load(str(script))(x).numpy(), network, input_shape(configs))


@pytest.mark.parametrize("configs", exported("mass_detection", "mass_shape"), indirect=True)
@pytest.mark.usefixtures("few_channels")
def test_onnx_export(
    configs: Path, network: nn.Module, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MONAI's onnx_export leaves the weights of its temporary graph behind
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = tmp_path / "model.onnx"
    onnx_export(
        net_id="network_def", filepath=str(model), ckpt_file=str(weights), meta_file=meta(configs),
        config_file=str(configs / "inference.json"), input_shape=input_shape(configs),
        **small_network(configs),
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    assert_equals_eager(lambda x: session.run(None, {name: x.numpy()})[0], network, input_shape(configs))


def assert_equals_eager(run: Callable[[torch.Tensor], np.ndarray], network: nn.Module, shape: list[int]) -> None:
    x = torch.rand(shape)
    with torch.no_grad():
        np.testing.assert_allclose(run(x), network(x).numpy(), atol=1e-4)


@pytest.mark.usefixtures("few_channels")
@pytest.mark.parametrize(("config", "kind"), CONFIGS.items())
def test_properties(config: str, kind: str, configs: Path, weights: Path, small_phantoms: Path, tmp_path: Path) -> None:
    # where masks are classified they alone are read
    folder = (
        small_phantoms / "masks" if (configs.parent.name, config) == ("mass_shape", "inference") else small_phantoms
    )
    paths = {"dataset_dir": str(folder), "output_dir": str(tmp_path)}
    paths |= {"ckpt_dir": str(tmp_path)} if config == "train" else {"ckpt_path": str(weights)}
    file = configs / f"{config}.json"
    # the weights are of the network that is the default, but for its size
    small = {key: value for key, value in quick(file).items() if config == "train" or key == "image_size"}
    workflow = create_workflow(config_file=str(file), workflow_type=kind, **small, **paths, **small_network(configs))
    assert workflow.check_properties() == []
    assert workflow.dataset_dir == str(folder)


def test_each_bundle_has_a_card_and_a_license(configs: Path) -> None:
    card = (configs.parent / "docs" / "README.md").read_text(encoding="utf-8")
    for words in ("Not for clinical use", "## Data", "## Limits", "Apache-2.0", "--dataset_dir"):
        assert words in card
    assert "Apache License" in (configs.parent / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("configs", RUN, indirect=True)
@pytest.mark.usefixtures("few_channels")
def test_a_bundle_trains_resumes_and_is_evaluated(configs: Path, small_phantoms: Path, tmp_path: Path) -> None:
    # the device by its name, as the command line gives it
    common = {"dataset_dir": str(small_phantoms), "output_dir": str(tmp_path), "device": "cpu"}
    settings = common | {"ckpt_dir": str(tmp_path), "batch_size": 8} | quick(configs / "train.json")
    settings |= small_network(configs)
    for epochs, resume in ((1, False), (2, True)):
        # by MONAI's default name of what is run
        workflow = create_workflow(
            config_file=str(configs / "train.json"), max_epochs=epochs, resume=resume, **settings
        )
        workflow.run()
    metric = workflow.parser.get_parsed_content("validate#evaluator").state.key_metric_name
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(np.isfinite(float(row["g_region_loss"])) and row[f"val_{metric}"] for row in rows)

    # under the settings of the training, as the command line evaluates
    model = parse_models([f"{configs.parent.name}:{tmp_path / 'model.pt'}"])[0]
    create_workflow(
        config_file=str(configs / "evaluate.json"), run_id="evaluating",
        **keep_null(model.overrides("evaluate.json") | common | small_network(configs)),
    ).run()  # fmt: skip
    cases = read_datalist(small_phantoms).test
    kind = output_format(configs.parent)
    if kind == "raw":
        assert json.loads((tmp_path / "summary.json").read_text())["images"] == len(cases)
        return
    if kind == "classes":
        assert len(read_shape_rows(tmp_path / "shapes.csv")) == len(mass_items(small_phantoms, cases))
        return
    # a bundle that crops has one row per lesion
    crops = read_config(configs / "train.json")["settings"]["box"] != "full"
    expected = sum(len(case.masks) for case in cases) if crops else len(cases)
    assert len(read_case_table(tmp_path / "cases.csv")) == expected
