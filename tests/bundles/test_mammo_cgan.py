"""The mammogram cGAN: crops in, masks at their place out, and its switches."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from PIL import Image

from bus_monai.bundle.registry import find_bundle
from bus_monai.cli import main as cli
from bus_monai.data.datalist import read_datalist
from bus_monai.data.phantoms.mammogram import write_mammo_phantoms
from bus_monai.geometry.box import Box, loose_box
from bus_monai.io.image import read_raster
from bus_monai.metrics.case_table import read_case_table
from bus_monai.networks.segmenters import make_segmenter
from bus_monai.transforms.masks import Morphology
from tests.user_errors import check_said, raises_user_error

CONFIGS = find_bundle("mammo_cgan") / "configs"
OPTIONS = {"depth": 8, "base_width": 4, "use_ac": False, "caw": "none", "bottleneck_norm": False}
SMALL = {"image_size": [64, 64], "base_width": 4}


@pytest.fixture(scope="module")
def mammograms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen mammograms; some have two masses."""
    folder = tmp_path_factory.mktemp("mammograms") / "set"
    return write_mammo_phantoms(folder, count=16, size=(128, 100), seed=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights that mark about half of all pixels."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(make_segmenter("cgan", OPTIONS).state_dict(), path)
    return path


def run(config: str, run_id: str, **overrides: Any) -> Any:
    workflow = create_workflow(config_file=str(CONFIGS / f"{config}.json"), run_id=run_id, **(SMALL | overrides))
    workflow.run()
    return workflow


def train(data: Path, out: Path, **more: Any) -> dict[str, Any]:
    run(
        "train",
        "training",
        dataset_dir=str(data),
        ckpt_dir=str(out),
        output_dir=str(out),
        batch_size=4,
        amp=False,
        **more,
    )
    return torch.load(out / "checkpoint.pt", weights_only=True)


def test_the_networks_are_those_of_the_paper(mammograms: Path) -> None:
    workflow = create_workflow(
        config_file=str(CONFIGS / "train.json"), workflow_type="train", dataset_dir=str(mammograms)
    )
    parser = workflow.parser
    assert sum(p.numel() for p in parser.get_parsed_content("network_def").parameters()) == 54_413_313
    critic = parser.get_parsed_content("critic_def")
    assert sum(p.numel() for p in critic.parameters()) == 2_765_505
    assert critic(torch.zeros(1, 2, 256, 256)).shape == (1, 1, 30, 30)
    loss = parser.get_parsed_content("region_loss")
    assert loss.weights == {"l1": 0.0, "ssim": 0.0, "dice": 150.0, "bce": 0.0}


def test_a_resumed_training_equals_an_undisturbed_one(mammograms: Path, tmp_path: Path) -> None:
    whole = train(mammograms, tmp_path / "whole", max_epochs=2)
    train(mammograms, tmp_path / "parts", max_epochs=1)
    resumed = train(mammograms, tmp_path / "parts", max_epochs=2, resume=True)
    for part in ("g_network", "d_network"):
        for name, value in whole["trainer"][part].items():
            assert torch.equal(value, resumed["trainer"][part][name]), (part, name)
    settings = json.loads((tmp_path / "parts" / "settings.json").read_text())
    assert (settings["box"], settings["loose_scale"], settings["recon_loss"]) == ("loose", 1.5, "dice")


def test_the_generator_starts_from_given_weights(mammograms: Path, weights: Path, tmp_path: Path) -> None:
    workflow = create_workflow(
        config_file=str(CONFIGS / "train.json"), run_id="training", dataset_dir=str(mammograms), ckpt_dir=str(tmp_path),
        output_dir=str(tmp_path), generator_weights=str(weights), **SMALL,
    )  # fmt: skip
    network = workflow.parser.get_parsed_content("network_def")
    for name, value in torch.load(weights, weights_only=True).items():
        assert torch.equal(network.state_dict()[name], value), name


def test_it_learns_from_crops_and_from_whole_images_without_an_adversary(mammograms: Path, tmp_path: Path) -> None:
    for box, loss, skip in (("tight", "l1", "none"), ("full", "dice", "concat")):
        more = {"box": box, "recon_loss": loss, "skip_mode": skip, "gan_mode": "none", "max_epochs": 1}
        state = train(mammograms, tmp_path / box, **more)
        assert all(torch.isfinite(value).all() for value in state["trainer"]["g_network"].values())


def test_training_sees_jittered_crops_and_validation_the_same_each_time(mammograms: Path, tmp_path: Path) -> None:
    parser = create_workflow(
        config_file=str(CONFIGS / "train.json"), workflow_type="train", dataset_dir=str(mammograms), **SMALL
    ).parser
    parser["augmentation"] = []
    training, validation = (parser.get_parsed_content(f"{part}#dataset") for part in ("train", "validate"))
    datalist = read_datalist(mammograms)
    assert len(training) == sum(len(case.masks) for case in datalist.training)
    first, second = training[0], training[0]
    assert first["image"].shape == first["label"].shape == (1, 64, 64)
    assert not torch.equal(first["image"], second["image"])
    assert torch.equal(validation[0]["image"], validation[0]["image"])


@pytest.mark.parametrize("box", ["loose", "full"])
def test_evaluation_scores_each_crop_at_its_own_size(box: str, weights: Path, mammograms: Path, tmp_path: Path) -> None:
    run(
        "evaluate",
        "evaluating",
        ckpt_path=str(weights),
        dataset_dir=str(mammograms),
        output_dir=str(tmp_path),
        box=box,
    )
    rows = {row.id: row for row in read_case_table(tmp_path / "cases.csv")}
    cases = read_datalist(mammograms).test
    expected: dict[str, tuple[str, int, int]] = {}
    for case in cases:
        masks = [torch.from_numpy(read_raster(mask) > 0) for mask in case.masks]
        merged = torch.stack(masks).any(dim=0)
        if box == "full":
            expected[case.id] = (case.group, merged.numel(), int(merged.sum()))
            continue
        for number, mask in enumerate(masks, start=1):
            seen = merged[loose_box(Box.from_mask(mask.numpy()), 1.5, merged.shape).slices]
            expected[f"{case.id}_m{number}"] = (case.group, seen.numel(), int(seen.sum()))
    found = {id: (row.group, row.tp + row.fp + row.fn + row.tn, row.true_area_px) for id, row in rows.items()}
    assert found == expected


def test_the_command_line_evaluates_and_reports(
    weights: Path, mammograms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [
        "--data",
        str(mammograms),
        "--out",
        str(tmp_path),
        "--set",
        "image_size=[64,64]",
        "--set",
        "base_width=4",
    ]
    monkeypatch.setattr(sys, "argv", ["bus-monai", "evaluate", f"mammo_cgan:{weights}", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    for file in ("cases.csv", "summary.json", "report.html", "overlays.png", "examples.png"):
        assert (tmp_path / file).is_file()


def stage(weights: Path, **more: Any) -> Any:
    workflow = create_workflow(
        config_file=str(CONFIGS / "inference.json"), workflow_type="infer", ckpt_path=str(weights), device="cpu",
        **(SMALL | more),
    )  # fmt: skip
    return workflow.parser.get_parsed_content("stage")


@pytest.fixture(scope="module")
def image(mammograms: Path) -> torch.Tensor:
    return torch.from_numpy(read_raster(read_datalist(mammograms).test[0].image))[None]


def test_the_stage_puts_the_mask_of_a_crop_to_its_place(weights: Path, image: torch.Tensor) -> None:
    box = Box(30, 20, 62, 52)
    found = stage(weights, box="tight", postprocess=False)(image, box)
    assert found.dtype == torch.bool
    assert found.shape == image.shape
    full = stage(weights, box="full", postprocess=False)
    expected = torch.zeros_like(found)
    expected[(0, *box.slices)] = full(image[(0, *box.slices)][None])[0]
    assert torch.equal(found, expected)
    assert found.any()
    assert not found.all()
    whole = stage(weights, box="loose", postprocess=False)(image)
    assert torch.equal(whole, full(image))


def test_morphology_comes_before_the_native_size(weights: Path, image: torch.Tensor) -> None:
    """At 128 x 100 pixels of network and image alike there is nothing to resize, so that it can be done by hand."""
    raw, clean = (
        stage(weights, box="full", image_size=[128, 100], postprocess=switch)(image) for switch in (False, True)
    )
    assert torch.equal(clean, Morphology()(raw))
    assert not torch.equal(clean, raw)


def test_the_threshold_is_that_of_the_probability(weights: Path, image: torch.Tensor) -> None:
    areas = [int(stage(weights, threshold=value)(image).sum()) for value in (0.45, 0.5, 0.55)]
    assert areas[0] > areas[1] > areas[2]


def test_masks_of_one_image_are_merged_and_images_without_a_box_are_empty(
    weights: Path, mammograms: Path, image: torch.Tensor, tmp_path: Path
) -> None:
    first, second = Box(10, 10, 40, 40), Box(60, 30, 90, 64)
    names = [case.image.name for case in read_datalist(mammograms).test]
    table = tmp_path / "boxes.csv"
    lines = [f"{names[0]},{','.join(map(str, box.sides))}" for box in (first, second)]
    table.write_text("\n".join(["file,top,left,bottom,right", *lines]))
    source, out = mammograms / "images", tmp_path / "out"
    for _ in range(2):  # a second run starts afresh and does not add to the first
        run(
            "inference",
            "inferring",
            ckpt_path=str(weights),
            dataset_dir=str(source),
            output_dir=str(out),
            boxes=str(table),
        )
    segment = stage(weights)
    expected = segment(image, first) | segment(image, second)
    mask = np.asarray(Image.open(out / names[0].replace(".png", "_mask.png"))) > 0
    assert np.array_equal(mask, expected[0].numpy())
    masks = sorted(out.glob("*.png"))
    assert len(masks) == 16
    assert sum(np.asarray(Image.open(path)).any() for path in masks) == 1


def test_a_folder_of_crops_needs_no_boxes(weights: Path, mammograms: Path, image: torch.Tensor, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.png").write_bytes(read_datalist(mammograms).test[0].image.read_bytes())
    run(
        "inference",
        "inferring",
        ckpt_path=str(weights),
        dataset_dir=str(source),
        output_dir=str(tmp_path),
        box="full",
    )
    mask = np.asarray(Image.open(tmp_path / "a_mask.png")) > 0
    assert np.array_equal(mask, stage(weights)(image)[0].numpy())


@pytest.mark.parametrize(
    ("arguments", "key", "named"),
    [
        (["--loose_scale", "0.9"], "loose_scale", [0.9, 1]),
        (["--box", "lose"], "box", ["lose", "full", "tight", "loose"]),
        (["--box_jitter", "0.5"], "box_jitter", [0.5, 0]),
        (["--recon_loss", "dise"], "recon_loss", ["dise", "'dice'", "l1"]),
        (["--skip_mode", "no"], "skip_mode", ["no", "concat", "add", "none"]),
        (["--lambda_recon", "-1"], "lambda_recon", [-1, 0]),
    ],
)
def test_wrong_settings_are_named(
    arguments: list[str], key: str, named: list[object], mammograms: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folders = ["--dataset_dir", str(mammograms), "--ckpt_dir", str(tmp_path), "--output_dir", str(tmp_path)]
    small = ["--image_size", "[64,64]", "--base_width", "4"]
    monkeypatch.setattr(sys, "argv", ["bus-monai", "train", "mammo_cgan", *folders, *small, *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    check_said(capsys.readouterr().err, *named, key=key)


def test_a_box_outside_its_image_is_named(weights: Path, image: torch.Tensor) -> None:
    with raises_user_error((200, 0, 210, 9), "128 x 100"):
        stage(weights)(image, Box(200, 0, 210, 9))
    with pytest.raises(ValueError, match=r"^image must have the shape \(1, H, W\), got \(128, 100\)\.$"):
        stage(weights)(image[0])
