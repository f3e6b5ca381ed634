"""Mass detection as a user runs it: training, resuming, evaluation, inference, the stage for other programs."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle.scripts import create_workflow
from monai.bundle.workflows import ConfigWorkflow
from PIL import Image

from bus_monai.bundle.registry import find_bundle
from bus_monai.data.datalist import read_datalist
from bus_monai.data.phantoms.mammogram import write_mammo_phantoms
from bus_monai.geometry.box import BOX_COLUMNS, Box
from bus_monai.io.image import read_mask
from bus_monai.mammogram.stages import MassDetector
from bus_monai.metrics.detection import Detection, detection_curve
from bus_monai.report import paper
from bus_monai.report.paper import COLUMN_INCHES
from bus_monai.sources.read import read_source
from tests.user_errors import raises_user_error

EPOCHS = 3
SIZE = (96, 80)


def workflow(config: str, run: str, **settings: Any) -> ConfigWorkflow:
    file = str(find_bundle("mass_detection") / "configs" / f"{config}.json")
    return create_workflow(config_file=file, run_id=run, network_name="ssd_lite", **settings)


def training(data: Path, out: Path, **more: Any) -> ConfigWorkflow:
    settings = {"batch_size": 4, "max_epochs": EPOCHS, "lr": 1e-3, "amp": False} | more
    return workflow("train", "training", dataset_dir=str(data), ckpt_dir=str(out), output_dir=str(out), **settings)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve mammograms, the last of the test set without a mass."""
    folder = tmp_path_factory.mktemp("mammograms") / "set"
    write_mammo_phantoms(folder, count=12, size=SIZE, seed=1)
    content = json.loads((folder / "datalist.json").read_text())
    content["test"][-1] |= {"masks": [], "diagnosis": "normal"}
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    training(data, out).run()
    return out


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def true_boxes(data: Path) -> dict[str, list[Box]]:
    return {case.id: [Box.from_mask(read_mask(mask, SIZE)) for mask in case.masks] for case in read_datalist(data).test}


def test_the_run_is_recorded(trained: Path) -> None:
    rows = table(trained / "history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["g_loss"]) < float(rows[0]["g_loss"])
    assert [float(row["g_learning_rate"]) for row in rows] == pytest.approx([1e-4, 1e-3, 5e-4])
    client = mlflow.MlflowClient(f"sqlite:///{trained / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "mass_detection"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    names = {"val_ap50", "val_froc_0.25", "val_froc_0.5", "val_froc_1", "val_froc_2", "val_false_positives", "g_loss"}
    assert names <= set(run.data.metrics)
    figures = [f.path for f in client.list_artifacts(run.info.run_id, "validation")]
    assert figures == ["validation/epoch_0003.png", "validation/epoch_0003.svg"]
    settings = json.loads((trained / "settings.json").read_text())
    assert settings["network_name"] == "ssd_lite"


def test_stopped_and_resumed_equals_undisturbed(trained: Path, data: Path, tmp_path: Path) -> None:
    first = training(data, tmp_path)
    trainer = first.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=1), trainer.terminate)
    first.run()
    assert len(table(tmp_path / "history.csv")) == 1
    training(data, tmp_path, resume=True).run()
    whole, resumed = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (trained, tmp_path))
    for name, value in whole["trainer"]["g_network"].items():
        assert torch.equal(value, resumed["trainer"]["g_network"][name]), name
    for i, slots in whole["trainer"]["g_optimizer"]["state"].items():
        assert all(torch.equal(value, resumed["trainer"]["g_optimizer"]["state"][i][k]) for k, value in slots.items())
    assert table(trained / "history.csv") == table(tmp_path / "history.csv")
    best = [torch.load(folder / "model.pt", weights_only=True) for folder in (trained, tmp_path)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_it_starts_from_given_weights(trained: Path, data: Path, tmp_path: Path) -> None:
    started = training(data, tmp_path, initial_weights=str(trained / "model.pt"))
    network = started.parser.get_parsed_content("network_def")
    for name, value in torch.load(trained / "model.pt", weights_only=True).items():
        assert torch.equal(network.state_dict()[name], value), name


def test_evaluation_can_be_computed_again_from_its_tables(trained: Path, data: Path, tmp_path: Path) -> None:
    # so low that there is something to count after three epochs
    workflow(
        "evaluate", "evaluating", ckpt_path=str(trained / "model.pt"), dataset_dir=str(data), output_dir=str(tmp_path),
        score_threshold=0.05,
    ).run()  # fmt: skip
    summary = json.loads((tmp_path / "summary.json").read_text())
    boxes = true_boxes(data)
    truths = table(tmp_path / "truths.csv")
    named = [(row["id"], *(int(row[key]) for key in BOX_COLUMNS)) for row in truths]
    assert named == [(id, *box.sides) for id in sorted(boxes) for box in boxes[id]]

    rows = table(tmp_path / "detections.csv")
    assert list(rows[0]) == ["id", "score", "top", "left", "bottom", "right", "matched"]
    assert all(float(row["score"]) >= 0.01 for row in rows)
    found = [Detection(row["id"], Box(*(int(row[side]) for side in BOX_COLUMNS)), float(row["score"])) for row in rows]
    curve = detection_curve(found, boxes)
    assert summary["images"] == len(boxes) == 4
    assert summary["masses"] == len(truths)
    assert summary["average_precision_50"] == pytest.approx(curve.average_precision)
    assert summary["froc"] == pytest.approx({f"{rate:g}": value for rate, value in curve.froc().items()})
    counted = [row for row in rows if float(row["score"]) >= 0.05]
    assert summary["found"] == sum(row["matched"] == "True" for row in counted) == len(truths) - summary["missed"]
    assert summary["found"] == sum(row["found"] == "True" for row in truths)
    assert summary["false_positives"] == sum(row["matched"] == "False" for row in counted)
    for name in ("examples.png", "froc.png"):
        assert Image.open(tmp_path / name).size[0] >= round(COLUMN_INCHES * paper.DPI)


def test_inference_and_the_stage_agree(trained: Path, data: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    images = [case.image for case in read_datalist(data).test]
    shutil.copy(images[0], source / "a.png")
    shutil.copy(images[1], source / "deep" / "b.png")
    run = workflow(
        "inference", "inferring", ckpt_path=str(trained / "model.pt"), dataset_dir=str(source), output_dir=str(out),
        score_threshold=0.05,
    )  # fmt: skip
    run.run()
    rows = table(out / "detections.csv")
    assert {row["matched"] for row in rows} <= {""}
    stage = run.parser.get_parsed_content("stage")
    assert isinstance(stage, MassDetector)
    for id, path in (("a", images[0]), ("deep/b", images[1])):
        masses = stage(torch.from_numpy(read_source(path).pixels)[None])
        expected = [(mass.score, *mass.box.sides) for mass in masses]
        assert [(float(r["score"]), *(int(r[k]) for k in BOX_COLUMNS)) for r in rows if r["id"] == id] == expected
        assert [mass.score for mass in masses] == sorted((mass.score for mass in masses), reverse=True)


@pytest.mark.parametrize(
    ("damage", "settings", "key", "named"),
    [
        ("", {"network_name": "ssd30"}, "network_name", ["ssd30", "'ssd300'"]),
        ("truncated image", {}, None, []),
        ("empty mask", {}, None, []),
        ("", {"dataset_dir": "/nowhere"}, "dataset_dir", ["'/nowhere'"]),
    ],
)
def test_what_is_wrong_is_told_before_training(
    damage: str, settings: dict[str, str], key: str | None, named: list[str], data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(data, folder)
    case = read_datalist(folder).training[0]
    if damage == "truncated image":
        case.image.write_bytes(case.image.read_bytes()[:300])
    if damage == "empty mask":
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(case.masks[0])
    file = str(find_bundle("mass_detection") / "configs" / "train.json")
    paths = {"dataset_dir": str(folder), "ckpt_dir": str(tmp_path / "out"), "output_dir": str(tmp_path / "out")}
    options = {"network_name": "ssd_lite"} | paths | settings
    damaged = {"truncated image": case.image, "empty mask": case.masks[0]}.get(damage)
    with raises_user_error(*named, path=damaged, key=key, wrapped=True):
        create_workflow(config_file=file, run_id="training", **options).run()
    assert not (tmp_path / "out" / "checkpoint.pt").exists()
