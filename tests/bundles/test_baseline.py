"""Baselines: any network by name through training, evaluation by the command line, and ensembles."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle.scripts import create_workflow

from bus_monai.bundle.registry import find_bundle, list_bundles
from bus_monai.cli import main as cli
from bus_monai.metrics.case_table import read_case_table
from bus_monai.networks.segmenters import make_segmenter
from tests.user_errors import check_said

BUNDLES = [info.name for info in list_bundles()]


@pytest.fixture(scope="module")
def runs(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs each of two networks, one with an option."""
    folder = tmp_path_factory.mktemp("runs")
    for name, options in (("erfnet", {}), ("fcn", {"backbone": "resnet18"})):
        create_workflow(
            config_file=str(find_bundle("baseline") / "configs" / "train.json"),
            run_id="training",
            dataset_dir=str(small_phantoms),
            ckpt_dir=str(folder / name),
            output_dir=str(folder / name),
            network_name=name,
            network_options=options,
            image_size=[64, 64],
            batch_size=8,
            max_epochs=2,
        ).run()
    return folder


def bus_monai(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0


def test_weights_are_of_the_named_network_and_its_settings_lie_beside(runs: Path) -> None:
    network = make_segmenter("fcn", {"backbone": "resnet18"})
    network.load_state_dict(torch.load(runs / "fcn" / "model.pt", weights_only=True))
    settings = json.loads((runs / "fcn" / "settings.json").read_text())
    assert settings["network_name"] == "fcn"
    assert settings["network_options"] == {"backbone": "resnet18"}
    assert settings["image_size"] == [64, 64]
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


def test_models_are_evaluated_and_compared_without_being_told_their_settings(
    runs: Path, small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [f"baseline:{runs}/erfnet/model.pt", f"second=baseline:{runs}/fcn/model.pt"]
    bus_monai(monkeypatch, "evaluate", *models, "--data", str(small_phantoms), "--out", str(tmp_path))
    for name in ("erfnet", "second"):
        for file in ("cases.csv", "summary.json", "report.html", "overlays.png", "examples.png"):
            assert (tmp_path / name / file).is_file(), f"{name}/{file}"
        assert f"Evaluation: {name}" in (tmp_path / name / "report.html").read_text()
    assert "erfnet - second" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "comparison.csv").read_text().splitlines()[1].startswith("erfnet,second,")

    out = tmp_path / "again"
    folders = [str(tmp_path / name) for name in ("erfnet", "second")]
    bus_monai(monkeypatch, "compare", *folders, "--out", str(out), "--published", "rdau")
    assert "RDA-NET-GAN, 57 test images" in (out / "report.html").read_text()


def test_an_ensemble_of_one_model_twice_is_that_model(
    runs: Path, small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = f"{runs}/erfnet/model.pt"
    for name, spec in (("one", weights), ("two", f"{weights},{weights}")):
        arguments = ["--data", str(small_phantoms), "--out", str(tmp_path / name)]
        bus_monai(monkeypatch, "evaluate", f"baseline:{spec}", *arguments)
    one, two = (read_case_table(tmp_path / name / "cases.csv") for name in ("one", "two"))
    assert [row.tp + row.fp for row in one] == pytest.approx([row.tp + row.fp for row in two], abs=2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate", "baselin"], ["'baselin'", "'baseline'", *BUNDLES]),
        (["evaluate", "baseline:nowhere.pt"], ["'nowhere.pt'", "'baseline:nowhere.pt'"]),
        (["evaluate", "mass_detection"], ["'mass_detection'", "configs/evaluate.json", "docs/README.md"]),
        (["evaluate", "a b"], ["'a b'", "BUNDLE:WEIGHTS", "NAME=BUNDLE:WEIGHTS"]),
        (["compare", "a=x", "a=y"], ["'a'", "'first=y'"]),
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
