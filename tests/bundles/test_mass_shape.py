"""Shape classifier as a user runs it: training, resuming, evaluation, predicted masks, columns, folds, inference."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from PIL import Image

from bus_monai.bundle.models import parse_models
from bus_monai.bundle.registry import find_bundle
from bus_monai.cli import main as cli
from bus_monai.data.datalist import read_datalist
from bus_monai.data.items import mass_items
from bus_monai.data.phantoms.mammogram import write_mammo_phantoms
from bus_monai.mammogram.stages import ShapeClassifier, load_stage
from bus_monai.metrics.shapes import ShapeRow, read_shape_rows
from bus_monai.networks.shape_cnn import SHAPE_CLASSES, ShapeCNN
from bus_monai.sources.read import read_source
from bus_monai.transforms.load import read_mask_file
from tests.user_errors import check_said, raises_user_error

CONFIGS = find_bundle("mass_shape") / "configs"


def run(config: str, run_id: str, **settings: Any) -> Any:
    workflow = create_workflow(config_file=str(CONFIGS / f"{config}.json"), run_id=run_id, **settings)
    workflow.run()
    return workflow


def train(data: Path, out: Path, **settings: Any) -> Any:
    folders = {"dataset_dir": str(data), "ckpt_dir": str(out), "output_dir": str(out)}
    return run("train", "training", class_weights=False, **folders, **settings)


def evaluate(data: Path, weights: Path, out: Path, **settings: Any) -> list[ShapeRow]:
    run("evaluate", "evaluating", dataset_dir=str(data), ckpt_path=str(weights), output_dir=str(out), **settings)
    return read_shape_rows(out / "shapes.csv")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mammograms") / "set"
    return write_mammo_phantoms(folder, count=24, size=(96, 80), seed=4)


@pytest.fixture(scope="module")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three epochs."""
    out = tmp_path_factory.mktemp("trained")
    train(phantoms, out, max_epochs=3)
    return out


@pytest.fixture(scope="module")
def rows(phantoms: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[ShapeRow]:
    return evaluate(phantoms, trained / "model.pt", tmp_path_factory.mktemp("evaluated"))


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_stopped_and_resumed_equals_undisturbed(phantoms: Path, trained: Path, tmp_path: Path) -> None:
    train(phantoms, tmp_path, max_epochs=2)
    train(phantoms, tmp_path, max_epochs=3, resume=True)
    whole, resumed = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (trained, tmp_path))
    for name, value in whole["trainer"]["g_network"].items():
        assert torch.equal(value, resumed["trainer"]["g_network"][name]), name
    assert whole["extra"]["early_stopping"] == resumed["extra"]["early_stopping"]
    assert history(trained) == history(tmp_path)
    assert [row["epoch"] for row in history(trained)] == ["1", "2", "3"]


def test_training_stops_early_and_stays_stopped(phantoms: Path, tmp_path: Path) -> None:
    """A learning rate of 0 never improves: one epoch is the best, two more are the patience."""
    train(phantoms, tmp_path, max_epochs=9, patience=2, lr=0.0)
    assert len(history(tmp_path)) == 3
    before = (tmp_path / "checkpoint.pt").read_bytes()
    train(phantoms, tmp_path, max_epochs=9, patience=2, lr=0.0, resume=True)
    assert len(history(tmp_path)) == 3
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_evaluation_leaves_a_row_a_mass_and_figures(
    phantoms: Path, trained: Path, tmp_path: Path, rows: list[ShapeRow]
) -> None:
    items = mass_items(phantoms, read_datalist(phantoms).test)
    assert evaluate(phantoms, trained / "model.pt", tmp_path) == rows
    assert {row.id: row.truth for row in rows} == {item["id"]: SHAPE_CLASSES[item["label"]] for item in items}
    assert all(sum(row.probabilities) == pytest.approx(1) for row in rows)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["masses"] == len(rows)
    assert summary["accuracy"]["value"] == pytest.approx(np.mean([row.truth == row.predicted for row in rows]))
    assert summary["accuracy"]["low"] <= summary["accuracy"]["value"] <= summary["accuracy"]["high"]
    assert np.sum(summary["confusion"]) == len(rows)
    for name in ("confusion.png", "roc.png", "mlflow.db"):
        assert (tmp_path / name).stat().st_size > 1000, name


def test_predicted_masks_are_matched_and_missed_masses_counted(
    phantoms: Path, trained: Path, tmp_path: Path, rows: list[ShapeRow]
) -> None:
    """The truth as prediction, with a speck beside it, gives the same; an empty prediction finds nothing."""
    cases, masks = read_datalist(phantoms).test, tmp_path / "masks"
    masks.mkdir()
    for case in cases:
        merged = np.any([np.asarray(Image.open(path)) > 0 for path in case.masks], axis=0)
        if case is cases[0]:
            merged[:] = False
        merged[0, 0] = True
        Image.fromarray(merged.astype(np.uint8) * 255).save(masks / f"{case.image.stem}_mask.png")
    found = evaluate(phantoms, trained / "model.pt", tmp_path, masks=str(masks))
    for row, truth in zip(found, rows, strict=True):
        if row.group == cases[0].group:
            assert row.probabilities == ()
            assert row.predicted is None
        else:
            assert row == truth
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["not_found"] == len(cases[0].masks)
    assert summary["accuracy_of_all"] == pytest.approx(sum(r.truth == r.predicted for r in found) / len(found))

    (masks / f"{cases[1].image.stem}_mask.png").unlink()
    with raises_user_error(f"'{cases[1].image.stem}_mask.png'", f"'{cases[1].id}'", path=masks, wrapped=True):
        evaluate(phantoms, trained / "model.pt", tmp_path, masks=str(masks))


def test_shapes_against_a_column_of_the_cases(
    phantoms: Path, trained: Path, tmp_path: Path, rows: list[ShapeRow], capsys: pytest.CaptureFixture[str]
) -> None:
    cases = sorted(case.id for case in read_datalist(phantoms).test)
    table = tmp_path / "subtypes.csv"
    table.write_text("id,subtype\n" + "".join(f"{id},{'AB'[i % 2]}\n" for i, id in enumerate(cases[1:])))
    evaluate(phantoms, trained / "model.pt", tmp_path, column_table=str(table), column="subtype")
    with (tmp_path / "shapes_by_column.csv").open(newline="") as file:
        counted = {line["subtype"]: line for line in csv.DictReader(file)}
    for i, value in enumerate("AB"):
        members = [row for row in rows if row.group in cases[1:][i::2]]
        assert int(counted[value]["masses"]) == len(members)
        for shape in SHAPE_CLASSES:
            count = sum(row.predicted == shape for row in members)
            assert int(counted[value][shape]) == count
            assert float(counted[value][f"{shape}_share"]) == pytest.approx(count / len(members), abs=1e-4)
    missing = [row.id for row in rows if row.group == cases[0]]
    assert json.loads((tmp_path / "summary.json").read_text())["without_column"] == missing
    assert f"{len(missing)} of {len(rows)} masses have no subtype: {missing[0]}" in capsys.readouterr().err

    with raises_user_error("column_table", "column", wrapped=True):
        evaluate(phantoms, trained / "model.pt", tmp_path, column="subtype")


def test_inference_classifies_each_component_as_the_stage_does(trained: Path, tmp_path: Path) -> None:
    mask = np.zeros((90, 70), dtype=bool)
    mask[5:15, 5:30] = True
    mask[40:80, 20:60] = True
    (tmp_path / "masks" / "a").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "masks" / "a" / "x.png")
    Image.fromarray(np.zeros_like(mask)).save(tmp_path / "masks" / "empty.png")
    workflow = run(
        "inference", "inferring", dataset_dir=str(tmp_path / "masks"), output_dir=str(tmp_path),
        ckpt_path=str(trained / "model.pt"),
    )  # fmt: skip
    table = read_shape_rows(tmp_path / "shapes.csv")
    assert [(row.id, row.truth) for row in table] == [("a/x_m1", None), ("a/x_m2", None)]
    stage = workflow.parser.get_parsed_content("stage")
    assert isinstance(stage, ShapeClassifier)
    for row, rows in zip(table, (slice(0, 20), slice(20, 90)), strict=True):
        one = torch.zeros(1, 90, 70, dtype=torch.bool)
        one[0, rows] = torch.from_numpy(mask[rows])
        assert list(stage(one)) == list(SHAPE_CLASSES)
        assert list(stage(one).values()) == pytest.approx(row.probabilities, abs=1e-5)


def test_five_folds_are_pooled(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sets = ["--set", "max_epochs=1", "--set", "class_weights=false"]
    command = ["bus-monai", "sweep", "mass_shape", "--folds", "--data", str(phantoms), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*command, *sets])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    cases = [case for _, section in read_datalist(phantoms).sections() for case in section]
    pooled = read_shape_rows(tmp_path / "shapes.csv")
    assert sorted(row.id for row in pooled) == sorted(item["id"] for item in mass_items(phantoms, cases))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["masses"] == len(pooled)
    each = summary["macro_auc_of_folds"]["each"]
    assert summary["macro_auc_of_folds"]["mean"] == pytest.approx(np.mean(each))
    assert (tmp_path / "roc_folds.png").is_file()
    with (tmp_path / "folds.csv").open(newline="") as file:
        table = {row.pop("fold"): {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)}
    folds = [json.loads((tmp_path / f"fold{fold}" / "summary.json").read_text()) for fold in range(5)]
    assert list(table) == ["0", "1", "2", "3", "4", "mean", "standard deviation"]
    for key in ("accuracy", "macro_f1", "macro_auc"):
        values = [fold[key]["value"] for fold in folds]
        assert [table[str(fold)][key] for fold in range(5)] == pytest.approx(values)
        assert table["mean"][key] == pytest.approx(np.mean(values))
        assert table["standard deviation"][key] == pytest.approx(np.std(values, ddof=1))
    assert summary["macro_auc_of_folds"]["std"] == pytest.approx(table["standard deviation"]["macro_auc"])


def without(folder: Path, phantoms: Path, damage: str) -> Path:
    shutil.copytree(phantoms, folder)
    table = folder / "mass_shapes.csv"
    lines = table.read_text().splitlines()
    match damage:
        case "table":
            table.unlink()
        case "shapes":
            table.write_text("\n".join([lines[0], *(line.rsplit(",", 1)[0] + ",NA" for line in lines[1:])]))
        case "row":
            first = read_datalist(folder).training[0].id
            table.write_text("\n".join(line for line in lines if not line.startswith(f"{first},1,")))
        case "round":
            table.write_text("\n".join(lines).replace("ROUND", "OVAL"))
    return folder


@pytest.mark.parametrize(
    ("damage", "named", "file", "key"),
    [
        ("table", [], "mass_shapes.csv", None),
        ("shapes", ["{cases}", "IRREGULAR", "LOBULATED", "OVAL", "ROUND"], "mass_shapes.csv", None),
        ("row", ["{fewer}", "{masks}", "'{first}'"], "mass_shapes.csv", None),
        ("round", ["training", "round"], None, "class_weights"),
    ],
)
def test_data_without_shapes_are_named(
    damage: str, named: list[str], file: str | None, key: str | None, phantoms: Path, tmp_path: Path
) -> None:
    data = without(tmp_path / "set", phantoms, damage)
    training = read_datalist(data).training
    masks = len(training[0].masks)
    facts = {"cases": len(training), "first": training[0].id, "masks": masks, "fewer": masks - 1}
    folders = {"ckpt_dir": str(tmp_path), "output_dir": str(tmp_path)}
    path = data / file if file else None
    with raises_user_error(*(text.format(**facts) for text in named), path=path, key=key, wrapped=True):
        run("train", "training", dataset_dir=str(data), max_epochs=1, **folders)


def test_it_goes_on_from_given_weights(phantoms: Path, trained: Path, tmp_path: Path) -> None:
    train(phantoms, tmp_path, max_epochs=1, lr=0.0, initial_weights=str(trained / "model.pt"))
    assert (tmp_path / "model.pt").read_bytes() == (trained / "model.pt").read_bytes()


def test_gray_values_are_learned_evaluated_and_classified_with(phantoms: Path, tmp_path: Path) -> None:
    train(phantoms, tmp_path, max_epochs=1, gray_values=True)
    rows = evaluate(phantoms, tmp_path / "model.pt", tmp_path, gray_values=True)
    (model,) = parse_models([f"mass_shape:{tmp_path / 'model.pt'}"])
    stage = load_stage(model)
    case = read_datalist(phantoms).test[0]
    image, mask = torch.from_numpy(read_source(case.image).pixels)[None], read_mask_file(case.masks[0])
    told = stage(torch.from_numpy(mask)[None], image)
    row = next(row for row in rows if row.id == f"{case.id}_m1")
    assert list(told.values()) == pytest.approx(row.probabilities, abs=1e-5)
    with raises_user_error(key="gray_values"):
        stage(torch.from_numpy(mask)[None])


def test_an_empty_mask_has_no_shape() -> None:
    with raises_user_error("mask"):
        ShapeClassifier(ShapeCNN())(torch.zeros(1, 20, 20, dtype=torch.bool))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate", "mass_shape:{folder}/shapes.csv"], ["'mass_shape'", "configs/evaluate.json", "docs/README.md"]),
        (["compare", "{folder}"], ["'{folder}'", "summary.json"]),
    ],
)
def test_commands_for_segmenters_refuse_it(
    arguments: list[str], named: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "shapes.csv").touch()
    monkeypatch.setattr(sys, "argv", ["bus-monai", *(word.format(folder=tmp_path) for word in arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    check_said(capsys.readouterr().err, *(text.format(folder=tmp_path) for text in named))
