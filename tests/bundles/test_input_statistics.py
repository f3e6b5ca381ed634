"""The statistics that a network standardizes its input by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.bundle.scripts import create_workflow
from monai.transforms.traits import RandomizableTrait
from torch import nn

from bus_monai.bundle.registry import list_bundles
from bus_monai.bundle.settings import read_config
from bus_monai.networks.wrappers import Standardized

CONFIGS = {info.name: info.root / "configs" / "train.json" for info in list_bundles()}
FITTED = [name for name, config in CONFIGS.items() if "fit_input_statistics" in config.read_text(encoding="utf-8")]


def test_which_bundles_fit_them() -> None:
    """The others have statistics of their own: those of ImageNet, or masks for images."""
    assert set(CONFIGS) - set(FITTED) == {"lite_unet", "mass_shape"}


@pytest.mark.parametrize("name", FITTED)
def test_they_are_those_of_the_images_without_augmentation_whatever_the_seed(
    name: str, small_phantoms: Path, tmp_path: Path
) -> None:
    fitted = {seed: statistics(name, small_phantoms, tmp_path, seed) for seed in (0, 1)}
    assert fitted[0] == fitted[1]


def statistics(name: str, data: Path, folder: Path, seed: int) -> list[tuple[float, float]]:
    """Return mean and standard deviation in each part of the network, after checking them against the images."""
    content = read_config(CONFIGS[name])["settings"]
    # labels are kept by chance where not all are
    wanted = {"image_size": [64, 64], "base_width": 8, "labeled_fraction": 1}
    small = {key: value for key, value in wanted.items() if key in content}
    workflow = create_workflow(
        config_file=str(CONFIGS[name]), run_id="training", dataset_dir=str(data), output_dir=str(folder),
        ckpt_dir=str(folder), device="cpu", seed=seed, **small,
    )  # fmt: skip
    part = workflow.parser.get_parsed_content
    chain, network = part("validate#preprocessing"), part("network_def")
    assert not any(isinstance(transform, RandomizableTrait) for transform in chain.transforms)
    images = torch.stack([torch.as_tensor(chain(item)["image"]) for item in part("train#dataset#data")]).double()
    standardized = [module for module in nn.Module.modules(network) if isinstance(module, Standardized)]
    for module in standardized:
        expected = (0.0, 1.0) if module.fixed else (float(images.mean()), float(images.std(correction=0)))
        assert (float(module.mean), float(module.std)) == pytest.approx(expected, rel=1e-5)
    return [(float(module.mean), float(module.std)) for module in standardized]
