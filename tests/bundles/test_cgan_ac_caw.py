"""The protocol of cGAN+AC+CAW: lesion crops, losses on [-1, 1] and augmentation that keeps shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from monai.bundle.workflows import ConfigWorkflow
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from torch import nn

from bus_monai.bundle.registry import find_bundle
from bus_monai.data.datalist import read_datalist
from bus_monai.experiments.search import parse_space, read_preset
from bus_monai.metrics.case_table import read_case_table
from bus_monai.networks.blocks.attention import CAW
from bus_monai.networks.blocks.convolution import AtrousBlock
from bus_monai.transforms.scanner import RandLetterboxd
from tests.bundles.small_generators import small_generators

CROPPED = {"cgan_ac_caw": "lesion_crops", "assgan": "lesion_crops"}
BUNDLES = ("assgan", "baseline", "cgan_ac_caw", "lite_unet", "multi_encoder_unet", "rdau_gan")


def workflow(name: str, config: str, data: Path, out: Path, **settings: Any) -> ConfigWorkflow:
    return create_workflow(
        config_file=str(find_bundle(name) / "configs" / f"{config}.json"), dataset_dir=str(data), output_dir=str(out),
        device="cpu", **settings,
    )  # fmt: skip


def parts(name: str, data: Path, out: Path, **settings: Any) -> Any:
    made = workflow(name, "train", data, out, ckpt_dir=str(out), **settings)
    return made.parser.get_parsed_content


def disk(radius: float, side: int = 128) -> torch.Tensor:
    rows, columns = np.mgrid[:side, :side] - side / 2 + 0.5
    return torch.from_numpy((rows**2 + columns**2 < radius**2).astype(np.float32))[None]


def test_the_papers_losses_without_a_dice_term_on_two_passes(small_phantoms: Path, tmp_path: Path) -> None:
    get = parts("cgan_ac_caw", small_phantoms, tmp_path)
    assert get("region_loss").weights == {"l1": 10.0, "ssim": 5.0, "dice": 0.0, "bce": 0.0}
    assert get("train#trainer#discriminator").batches == "separate"
    assert (get("objective").real_label, get("train#trainer#discriminator").real_blur) == (1.0, 0.0)


@pytest.mark.parametrize("name", ["cgan_ac_caw", "mammo_cgan"])
def test_a_discriminator_that_wins_sees_soft_truth(name: str, small_phantoms: Path, tmp_path: Path) -> None:
    get = parts(name, small_phantoms, tmp_path, real_label=0.9, real_blur=1.5)
    seen = get("train#trainer#discriminator")
    assert (seen.objective.real_label, seen.real_blur) == (0.9, 1.5)


@pytest.mark.parametrize("name", ["cgan_ac_caw", "mammo_cgan", "rdau_gan"])
@pytest.mark.parametrize(("gan_mode", "has_batch_norm"), [("wgan-gp", False), ("wgan", True)])
def test_under_a_gradient_penalty_no_discriminator_has_batch_norm(
    name: str, gan_mode: str, has_batch_norm: bool, small_phantoms: Path, tmp_path: Path
) -> None:
    critic = parts(name, small_phantoms, tmp_path, gan_mode=gan_mode)("critic_def")
    assert any(isinstance(module, nn.BatchNorm2d) for module in critic.modules()) == has_batch_norm


def test_dcgan_is_the_generator_without_its_parts_and_the_adversary_alone(small_phantoms: Path, tmp_path: Path) -> None:
    choices = parse_space(read_preset(find_bundle("cgan_ac_caw"), "dcgan"))
    settings = {choice.key: choice.values[0] for choice in choices}
    assert all(len(choice.values) == 1 for choice in choices)
    get = parts("cgan_ac_caw", small_phantoms, tmp_path, **settings)
    assert not any(get("region_loss").weights.values())
    network = get("network_def")
    assert [type(m) for m in network.modules() if isinstance(m, AtrousBlock | CAW)] == [CAW]
    logits = network.eval()(torch.rand(1, 1, 128, 128))
    # without skips all that the decoder sees is the pixel of the bottleneck
    body = network.network.network.network
    assert body.skip_mode == "none"
    assert logits.shape == (1, 1, 128, 128)


@pytest.mark.parametrize("name", ["cgan_ac_caw", "assgan", "baseline"])
def test_augmentation_keeps_a_disk_a_disk_and_its_mean_size(name: str, small_phantoms: Path, tmp_path: Path) -> None:
    augment = Compose(parts(name, small_phantoms, tmp_path)("augmentation")).set_random_state(0)
    mask = disk(20)
    shares, ratios = [], []
    for _ in range(60):
        item = augment({"image": MetaTensor(torch.rand(1, 128, 128)), "label": MetaTensor(mask)})
        rows, columns = (item["label"][0].amax(dim=axis) > 0.5 for axis in (1, 0))
        shares.append(float(item["label"].sum() / mask.sum()))
        ratios.append(float(rows.sum() / columns.sum()))
    assert 0.9 < min(ratios) <= max(ratios) < 1.1
    assert 0.6 < min(shares) <= max(shares) < 1.6
    assert np.mean(shares) == pytest.approx(1.05, abs=0.1)


@pytest.mark.parametrize("name", ["assgan", "baseline", "cgan_ac_caw", "lite_unet", "mammo_cgan", "rdau_gan"])
def test_augmentation_moves_a_label_with_its_image(name: str, small_phantoms: Path, tmp_path: Path) -> None:
    """To the pixel on the average; PyTorch's ``nearest`` would move by half a pixel what it resizes."""
    augmentation = parts(name, small_phantoms, tmp_path)("augmentation")
    # a letterbox may be as bright as the disk
    moved = [one for one in augmentation if "label" in one.keys and not isinstance(one, RandLetterboxd)]
    moves = Compose(moved).set_random_state(0)
    apart = []
    for _ in range(60):
        item = moves({"image": MetaTensor(disk(20)), "label": MetaTensor(disk(20))})
        places = [torch.nonzero(item[key][0] > 0.5).double().mean(dim=0) for key in ("image", "label")]
        apart.append(places[1] - places[0])
    assert float(torch.stack(apart).mean(dim=0).abs().max()) < 0.1


def test_gamma_changes_three_images_of_ten(small_phantoms: Path, tmp_path: Path) -> None:
    gamma = parts("cgan_ac_caw", small_phantoms, tmp_path)("augmentation")[-1].set_random_state(0)
    image = MetaTensor(torch.linspace(0, 1, 64).reshape(1, 8, 8))
    changed = sum(not torch.equal(gamma({"image": image})["image"], image) for _ in range(500))
    assert changed == pytest.approx(150, abs=25)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in CROPPED else pytest.mark.slow) for name in BUNDLES]
)
def test_every_ultrasound_bundle_crops_to_lesions(name: str, small_phantoms: Path, tmp_path: Path) -> None:
    """Training sees squares, each a quarter lesion; evaluation has a row per lesion, of the crop's own size."""
    cases = read_datalist(small_phantoms)
    assert parts(name, small_phantoms, tmp_path)("settings#box") == CROPPED.get(name, "full")
    with small_generators():
        settings = {"box": "lesion_crops", "image_size": [64, 64]}
        get = parts(name, small_phantoms, tmp_path, **settings)
        if name == "lite_unet":
            assert [parts(name, small_phantoms, tmp_path)("settings#crop_region"), get("settings#crop_region")] == [
                True,
                False,
            ]
        sections = ("train", "unlabeled") if name == "assgan" else ("train", "validate")
        for section in sections:
            items = get(section)["dataset"].data
            assert all({"box", "lesion_px"} <= item.keys() for item in items)
        for item in get("validate")["dataset"]:
            assert 0.13 < float((item["label"] > 0).float().mean()) < 0.5

        weights = tmp_path / "model.pt"
        torch.save(get("network_def").state_dict(), weights)
        workflow(name, "evaluate", small_phantoms, tmp_path, ckpt_path=str(weights), **settings).run()
    rows = read_case_table(tmp_path / "cases.csv")
    assert [row.id for row in rows] == [f"{c.id}_m{n}" for c in cases.test for n in range(1, len(c.masks) + 1)]
