"""Baselines: any network by name through training, evaluation by the command line, and ensembles."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle.scripts import create_workflow

from bus_monai.bundle.models import parse_models
from bus_monai.bundle.registry import find_bundle, list_bundles
from bus_monai.cli import main as cli
from bus_monai.geometry.box import Box, loose_box
from bus_monai.mammogram.stages import load_stage
from bus_monai.metrics.case_table import read_case_table
from bus_monai.networks.segmenters import make_segmenter
from tests.conftest import SMALL
from tests.user_errors import check_said, raises_user_error

BUNDLES = [info.name for info in list_bundles()]


@pytest.fixture(scope="module")
def runs(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs each of two networks, one with an option."""
    folder = tmp_path_factory.mktemp("runs")
    for name, options in (("erfnet", {}), ("cgan", SMALL)):
        create_workflow(
            config_file=str(find_bundle("baseline") / "configs" / "train.json"),
            run_id="training",
            dataset_dir=str(small_phantoms),
            ckpt_dir=str(folder / name),
            output_dir=str(folder / name),
            network_name=name,
            network_options=options,
            image_size=[32, 32],
            batch_size=8,
            max_epochs=2,
        ).run()
    return folder


def bus_monai(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bus-monai", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == 0


@pytest.fixture(scope="module")
def evaluated(runs: Path, small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both, the second by another name."""
    out = tmp_path_factory.mktemp("evaluated")
    models = [f"baseline:{runs}/erfnet/model.pt", f"second=baseline:{runs}/cgan/model.pt"]
    bus_monai("evaluate", *models, "--data", str(small_phantoms), "--out", str(out))
    return out


def test_any_network_outlines_what_is_in_a_box_of_a_mammogram(runs: Path) -> None:
    image, box = torch.rand(1, 90, 70), Box(10, 20, 43, 50)

    def stage(kind: str) -> Any:
        (model,) = parse_models([f"baseline:{runs}/erfnet/model.pt"])
        # all that it sees is more probable than nothing
        return load_stage(replace(model, settings=model.settings | {"box": kind, "threshold": 1e-9}))

    for kind, seen in (("tight", box), ("loose", loose_box(box, 1.5, (90, 70))), ("full", Box.of_image((90, 70)))):
        mask = stage(kind)(image, box)
        assert mask.shape == image.shape
        assert Box.from_mask(mask[0].numpy()) == seen
        assert int(mask.sum()) == seen.area
    with raises_user_error("loose", key="box", wrapped=True):
        stage("lesion_crops")(image, box)


def test_weights_are_of_the_named_network_and_its_settings_lie_beside(runs: Path) -> None:
    network = make_segmenter("cgan", SMALL)
    network.load_state_dict(torch.load(runs / "cgan" / "model.pt", weights_only=True))
    settings = json.loads((runs / "cgan" / "settings.json").read_text())
    assert settings["network_name"] == "cgan"
    assert settings["network_options"] == SMALL
    assert settings["image_size"] == [32, 32]
    assert not {"dataset_dir", "output_dir", "_meta_", "imports"} & settings.keys()


def test_a_last_batch_of_one_is_left_out_which_the_pooled_branch_cannot_normalize(
    small_phantoms: Path, tmp_path: Path
) -> None:
    items = json.loads((small_phantoms / "datalist.json").read_text())["training"]
    create_workflow(
        config_file=str(find_bundle("baseline") / "configs" / "train.json"),
        run_id="training",
        dataset_dir=str(small_phantoms),
        ckpt_dir=str(tmp_path),
        output_dir=str(tmp_path),
        network_name="deeplabv3_plus",
        network_options={"backbone": "resnet18"},
        image_size=[32, 32],
        batch_size=len(items) - 1,
        max_epochs=1,
    ).run()
    assert (tmp_path / "model.pt").is_file()


def test_models_are_evaluated_and_compared_without_being_told_their_settings(evaluated: Path, tmp_path: Path) -> None:
    for name in ("erfnet", "second"):
        for file in ("cases.csv", "summary.json", "report.html", "overlays.png", "examples.png"):
            assert (evaluated / name / file).is_file(), f"{name}/{file}"
        assert f"Evaluation: {name}" in (evaluated / name / "report.html").read_text()
    assert "erfnet - second" in (evaluated / "report.html").read_text()
    assert (evaluated / "comparison.csv").read_text().splitlines()[1].startswith("erfnet,second,")

    folders = [str(evaluated / name) for name in ("erfnet", "second")]
    bus_monai("compare", *folders, "--out", str(tmp_path), "--published", "rdau")
    assert "RDA-NET-GAN, 57 test images" in (tmp_path / "report.html").read_text()


def test_an_ensemble_of_one_model_twice_is_that_model(
    runs: Path, evaluated: Path, small_phantoms: Path, tmp_path: Path
) -> None:
    weights = f"{runs}/erfnet/model.pt"
    bus_monai("evaluate", f"baseline:{weights},{weights}", "--data", str(small_phantoms), "--out", str(tmp_path))
    one, two = (read_case_table(folder / "cases.csv") for folder in (evaluated / "erfnet", tmp_path))
    assert [row.tp + row.fp for row in one] == pytest.approx([row.tp + row.fp for row in two], abs=2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate", "baselin"], ["'baselin'", "'baseline'", *BUNDLES]),
        (["evaluate", "baseline:nowhere.pt"], ["'nowhere.pt'", "'baseline:nowhere.pt'"]),
        (["evaluate", "mass_detection"], ["'mass_detection'", "configs/evaluate.json", "docs/README.md"]),
        (["evaluate", "a b"], ["'a b'", "BUNDLE:WEIGHTS", "NAME=BUNDLE:WEIGHTS"]),
        (["compare", "x/a", "y/a"], ["'a'", "'first=y/a'"]),
    ],
)
def test_a_wrong_model_is_named(
    arguments: list[str], named: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    check_said(capsys.readouterr().err, *named)
