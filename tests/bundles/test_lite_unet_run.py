"""The small U-Net's bundle with every switch on: what is saved, and where predictions land."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from PIL import Image

from bus_monai.bundle.registry import find_bundle
from bus_monai.networks.lite_unet import LiteUNet

CONFIGS = find_bundle("lite_unet") / "configs"
SWITCHES = {
    "presence_head": True,
    "presence_cells": True,
    "deep_supervision": True,
    "attention": True,
    "lesion_covers": 0.2,
    "tissue_crops": 0.2,
    "balance": 0.5,
    "image_size": [64, 64],
}


@pytest.fixture(scope="module")
def run(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    create_workflow(
        config_file=str(CONFIGS / "train.json"),
        run_id="training",
        dataset_dir=str(small_phantoms),
        ckpt_dir=str(folder),
        output_dir=str(folder),
        max_epochs=1,
        encoder_weights="null",
        **SWITCHES,
    ).run()
    return folder


def test_the_average_is_what_is_validated_and_saved(run: Path) -> None:
    saved = torch.load(run / "model.pt", weights_only=True)
    trainer = torch.load(run / "checkpoint.pt", weights_only=True)["trainer"]
    net = LiteUNet(presence_head=True, presence_cells=True, deep_supervision=True, attention=True)
    assert list(saved) == list(net.state_dict())
    average = {key.removeprefix("module."): value for key, value in trainer["g_average"].items()}
    assert int(average.pop("n_averaged")) > 1
    assert all(torch.equal(value, average[key]) for key, value in saved.items())
    assert not torch.equal(saved["network.head.weight"], trainer["g_network"]["network.head.weight"])


@pytest.mark.parametrize("mode", ["resize", "sliding"])
def test_masks_of_letterboxed_images_have_their_size_and_empty_bars(
    mode: str, small_phantoms: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.asarray(Image.open(min((small_phantoms / "images").glob("*.png"))).convert("L"))
    Image.fromarray(np.pad(pixels, ((30, 20), (0, 10)))).save(images / "a.png")

    torch.manual_seed(0)
    net = LiteUNet(deep_supervision=True)
    net.network.head.bias.data.fill_(50)
    torch.save(net.state_dict(), tmp_path / "model.pt")
    create_workflow(
        config_file=str(CONFIGS / "inference.json"),
        run_id="inferring",
        dataset_dir=str(images),
        output_dir=str(tmp_path / "masks"),
        ckpt_path=str(tmp_path / "model.pt"),
        inferer_mode=mode,
        image_size=[64, 64],
        presence_head=False,
    ).run()
    mask = np.asarray(Image.open(next((tmp_path / "masks").rglob("*.png"))))
    expected = np.pad(np.full((64, 64), 255), ((30, 20), (0, 10)))
    assert mask.shape == expected.shape
    # the phantom may be dark at its rim
    assert (mask != expected).mean() < 0.03
    assert not mask[:28].any()
