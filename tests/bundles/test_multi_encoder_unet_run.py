"""The multi-encoder U-Net's bundle: its models and options, early stopping, encoder weights, three splits at once."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from monai.bundle.scripts import create_workflow
from PIL import Image

from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.run import train_run
from bus_monai.cli import main as cli
from bus_monai.experiments.search import parse_space, read_preset
from bus_monai.metrics.aggregate import means
from bus_monai.metrics.case_table import read_case_table
from bus_monai.networks.encoders.weights import from_torchvision
from bus_monai.report import paper
from bus_monai.report.paper import PAGE_INCHES
from tests.networks.torchvision_layout import photographs
from tests.user_errors import check_said

CONFIGS = find_bundle("multi_encoder_unet") / "configs"
LIGHT = {
    "encoders": ["resnet18"],
    "attention": "none",
    "image_size": [32, 32],
    "batch_size": 8,
    "save_interval": 100,
}


def train(data: Path, out: Path, **settings: Any) -> list[dict[str, str]]:
    """Train a light network and return its history."""
    common = {"dataset_dir": str(data), "ckpt_dir": str(out), "output_dir": str(out)}
    workflow = create_workflow(
        config_file=str(CONFIGS / "train.json"), run_id="training", **(LIGHT | common | settings)
    )
    workflow.run()
    return history(out)


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def bus_monai(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


@pytest.mark.parametrize(
    ("settings", "total", "trainable", "loss"),
    [
        ({}, 23_881_989, 23_881_989, {"bce"}),
        ({"model_id": 2}, 23_881_989, 23_881_989, {"dice"}),
        ({"model_id": 9}, 24_493_277, 2_355_361, {"dice"}),
        ({"model_id": 15}, 16_305_149, 1_121_089, {"bce"}),
        ({"model_id": 15, "freeze_encoders": False, "loss": "bce_dice"}, 16_305_149, 16_305_149, {"bce", "dice"}),
    ],
)
def test_models_and_options_that_win_over_them(
    settings: dict[str, Any], total: int, trainable: int, loss: set[str], small_phantoms: Path
) -> None:
    parser = create_workflow(
        config_file=str(CONFIGS / "train.json"), workflow_type="train", dataset_dir=str(small_phantoms),
        image_size=[32, 32], **settings,
    ).parser  # fmt: skip
    parameters = list(parser.get_parsed_content("network_def").parameters())
    assert sum(p.numel() for p in parameters) == total
    assert sum(p.numel() for p in parameters if p.requires_grad) == trainable
    assert {name for name, weight in parser.get_parsed_content("region_loss").weights.items() if weight} == loss


def test_presets_are_the_papers_models_and_learning_rates() -> None:
    models, rates = (parse_space(read_preset(CONFIGS.parent, name)) for name in ("models", "learning_rate"))
    assert [(choice.key, choice.values) for choice in models] == [("model_id", tuple(range(1, 21)))]
    assert [(choice.key, choice.values) for choice in rates] == [("lr", (1e-5, 1e-4, 1e-3))]
    grid = {choice.key: choice.values for choice in parse_space(read_preset(CONFIGS.parent, "grid"))}
    assert grid == {"lr": (1e-5, 1e-4, 1e-3), "batch_size": (8, 16, 32), "dropout": (0.2, 0.3, 0.4, 0.5)}


def test_the_published_size(small_phantoms: Path) -> None:
    parser = create_workflow(
        config_file=str(CONFIGS / "train.json"), workflow_type="train", dataset_dir=str(small_phantoms)
    ).parser
    assert parser.get_parsed_content("settings#image_size") == [224, 224]
    seen: list[tuple[int, ...]] = []
    network = parser.get_parsed_content("network_def").eval()
    network.network.network.stages[0].register_forward_hook(lambda _m, args, _o: seen.append(tuple(args[0].shape)))
    with torch.no_grad():
        network(torch.rand(1, 1, 224, 224))
    assert seen == [(1, 512 + 1024 + 1280, 7, 7)]


@pytest.fixture(scope="module")
def whole(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs without a break."""
    out = tmp_path_factory.mktemp("run")
    train(small_phantoms, out, max_epochs=2)
    return out


def test_resumed_equals_undisturbed(whole: Path, small_phantoms: Path, tmp_path: Path) -> None:
    train(small_phantoms, tmp_path, max_epochs=1)
    rows = train(small_phantoms, tmp_path, max_epochs=2, resume=True)
    assert history(whole) == rows
    assert all(row["val_loss"] for row in rows)
    one, two = checkpoint(whole), checkpoint(tmp_path)
    for name, value in one["trainer"]["g_network"].items():
        assert torch.equal(value, two["trainer"]["g_network"][name]), name
    assert one["extra"]["early_stopping"] == two["extra"]["early_stopping"]


def test_a_run_stops_when_the_validation_loss_no_longer_falls(
    small_phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"max_epochs": 12, "patience": 1, "lr": 0.02}
    rows = train(small_phantoms, tmp_path, **settings)
    losses = [float(row["val_loss"]) for row in rows]
    assert len(rows) < 12
    assert losses[-1] >= losses[-2]
    assert losses[:-1] == sorted(losses[:-1], reverse=True)
    assert checkpoint(tmp_path)["trainer"]["epoch"] == len(rows)
    assert "Random weights at the start of resnet18: " in capsys.readouterr().err
    assert train(small_phantoms, tmp_path, **settings, resume=True) == rows
    said = capsys.readouterr().err
    assert f"Nothing is left to train: stopped early after epoch {len(rows)}." in said
    assert "Random weights" not in said


def test_the_score_of_a_training_is_that_of_the_weights_it_keeps(
    small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, losses = iter([0.5, 0.7, 0.8]), iter([0.1, 0.12, 0.15])
    monkeypatch.setattr("bus_monai.metrics.ignite.CaseMetric.compute", lambda _self: next(scores))
    monkeypatch.setattr("bus_monai.handlers.early_stopping.Loss.compute", lambda _self: next(losses))
    settings = {"dataset_dir": str(small_phantoms), "max_epochs": 3}
    assert train_run(CONFIGS.parent, tmp_path, LIGHT | settings) == 0.5
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert [line[line.index("validation") :].split(",")[0] for line in lines] == [
        "validation dice 0.5000 (best)",
        "validation dice 0.7000 (best 0.5000)",
        "validation dice 0.8000 (best 0.5000)",
    ]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert [model.step for model in run.outputs.model_outputs] == [1]


def test_frozen_encoders_keep_what_photographs_taught(small_phantoms: Path, tmp_path: Path) -> None:
    state, path = photographs("resnet18"), tmp_path / "resnet18.pth"
    torch.save(state, path)
    train(small_phantoms, tmp_path, freeze_encoders=True, encoder_weights=f"resnet18={path}", max_epochs=2)
    trained = checkpoint(tmp_path)["trainer"]["g_network"]
    prefix = "network.network.encoders.resnet18."
    for key, value in state.items():
        if not key.startswith("fc."):
            assert torch.equal(trained[prefix + from_torchvision(key)], value.to(trained[prefix + key].dtype)), key
    assert int(trained["network.network.stages.0.1.num_batches_tracked"]) > 0


@pytest.mark.parametrize(
    "name",
    ["report.html", "curves_run.png", "test/summary.json", "test/examples.png", "test/figures/boxes.svg",
     "training/tables/scores.csv"],
)  # fmt: skip
def test_a_file_of_somebody_else_is_named_before_an_evaluation(
    name: str, whole: Path, small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    arguments = ["--data", str(small_phantoms), "--split", "training,test", "--out", str(tmp_path)]
    assert bus_monai(monkeypatch, "evaluate", f"run=multi_encoder_unet:{whole}/model.pt", *arguments) == 2
    check_said(capsys.readouterr().err, path=path, key="--out")
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    assert path.read_text() == "mine"


def test_splits_in_one_figure_under_the_papers_rule(
    whole: Path, small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = f"run=multi_encoder_unet:{whole}/model.pt", tmp_path / "out"
    arguments = ["--data", str(small_phantoms), "--split", "validation,test", "--out", str(out)]
    assert bus_monai(monkeypatch, "evaluate", model, *arguments) == 0
    content = json.loads((small_phantoms / "datalist.json").read_text())
    for split in ("validation", "test"):
        rows = read_case_table(out / split / "cases.csv")
        assert {row.id for row in rows} == {item["id"] for item in content[split]}
        summary = json.loads((out / split / "summary.json").read_text())
        assert summary["all_cases_zero"]["metrics"]["dice"]["mean"] == means(rows, "all_cases_zero")["dice"]
    assert Image.open(out / "curves_run.png").size[0] == round(PAGE_INCHES * paper.DPI)
    page = (out / "report.html").read_text()
    for split in ("validation", "test"):
        assert f'<a href="{split}/report.html">{split}</a></td><td>{len(content[split])}</td>' in page
        assert (out / split / "report.html").is_file()
    assert bus_monai(monkeypatch, "evaluate", model, "--split", "training,tests") == 2


@pytest.mark.parametrize(
    ("arguments", "path", "key", "named"),
    [
        (["--model_id", "22"], None, "model_id", [22, 1, 21]),
        (["--model_id", "null"], None, "model_id", [None, 1, 21]),
        (["--loss", "focal"], None, "loss", ["focal", "bce", "dice", "bce_dice"]),
        (["--attention", "se"], None, "attention", ["se", "none", "cbam", "non_local"]),
        (["--patience", "0"], None, "patience", [0, 1, "null"]),
        (["--encoder_weights", "resnet18=nowhere.pth"], "nowhere.pth", None, []),
        (["--model_id", "13", "--encoder_weights", "resnet18=r.pth"], None, "encoder_weights", ["resnet18"]),
    ],
)
def test_wrong_settings_are_named(
    arguments: list[str], path: str | None, key: str | None, named: list[object], small_phantoms: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    places = ["--dataset_dir", str(small_phantoms), "--ckpt_dir", str(tmp_path), "--output_dir", str(tmp_path)]
    assert bus_monai(monkeypatch, "train", "multi_encoder_unet", *places, *arguments) == 2
    check_said(capsys.readouterr().err, *named, path=path, key=key)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_weights_of_another_encoder_are_named_with_the_first_key(
    small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "densenet121.pth"
    torch.save(photographs("densenet121"), path)
    places = ["--dataset_dir", str(small_phantoms), "--ckpt_dir", str(tmp_path), "--output_dir", str(tmp_path)]
    assert bus_monai(monkeypatch, "train", "multi_encoder_unet", *places, "--encoder_weights", f"resnet18={path}") == 2
    check_said(capsys.readouterr().err, "resnet18", "conv1.weight", "torchvision", path=path)
