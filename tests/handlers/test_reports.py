"""Tables and summaries of an evaluation: counts made by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from bus_monai.geometry.box import Box
from bus_monai.handlers.reports import CaseReport, DetectionReport, FoundMasses, ShapeReport, ShapeTable
from bus_monai.metrics.aggregate import write_scores
from bus_monai.metrics.classification import ROC_GRID
from bus_monai.metrics.ignite import DetectionMetric, ImageDetections
from bus_monai.metrics.shapes import ShapeRow
from bus_monai.report.paper import save_figure
from bus_monai.report.score_figures import fold_roc_figure
from tests.user_errors import raises_user_error

BOX, OTHER, ELSEWHERE = Box(0, 0, 4, 4), Box(8, 8, 12, 12), Box(20, 20, 24, 24)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def complete(handler: Any, output: Any = None, batch: Any = None) -> None:
    evaluator = Engine(lambda engine, _: output)
    handler.attach(evaluator)
    evaluator.run([batch])


def test_detections_are_counted_from_the_threshold_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = DetectionMetric(threshold=0.5)
    images = [
        ImageDetections("a", (32, 32), (BOX, ELSEWHERE), (0.9, 0.6), (BOX, OTHER)),
        ImageDetections("b", (32, 32), (OTHER,), (0.3,), (OTHER,)),
        ImageDetections("c", (32, 32), (), (), ()),
    ]
    for image in images:
        metric._keep(image.id, image)
    metric.compute()
    complete(DetectionReport(metric=metric, folder=tmp_path))
    assert [(row["id"], row["score"], row["matched"]) for row in rows_of(tmp_path / "detections.csv")] == [
        ("a", "0.9", "True"),
        ("a", "0.6", "False"),
        ("b", "0.3", "True"),  # too low to count, but a point of the curve
    ]
    assert [(row["id"], row["found"], row["score"]) for row in rows_of(tmp_path / "truths.csv")] == [
        ("a", "True", "0.9"),
        ("a", "False", ""),
        ("b", "False", ""),
    ]
    summary = json.loads((tmp_path / "summary.json").read_text())
    names = ("images", "masses", "threshold", "found", "missed", "false_positives")
    assert [summary[name] for name in names] == [3, 3, 0.5, 1, 2, 1]
    # sure ones first: found, false, found
    assert summary["average_precision_50"] == pytest.approx(metric.compute())
    assert summary["froc"]["0.25"] == pytest.approx(1 / 3)
    assert (tmp_path / "froc.png").is_file()
    said = capsys.readouterr().out
    assert "3 masses in 3 images" in said
    assert "1 found, 2 missed, 1 false positives" in said


def test_an_evaluation_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    for name in ("robustness.json", "folds.csv"):
        (tmp_path / name).write_text("{}")
    # without a table of ours beside them they are of somebody else
    metric: Any = SimpleNamespace(rows=[])
    with raises_user_error(path=tmp_path / "robustness.json"):
        CaseReport(metric=metric, folder=tmp_path)
    write_scores(tmp_path, [])
    (tmp_path / "robustness.json").write_text("{}")
    complete(CaseReport(metric=metric, folder=tmp_path, data={"digest": "0"}))
    assert {path.name for path in tmp_path.iterdir()} == {"cases.csv", "summary.json", "data.json"}


def test_without_masses_there_is_no_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = DetectionMetric(threshold=0.5)
    metric._keep("a", ImageDetections("a", (32, 32), (BOX,), (0.9,), ()))
    with pytest.warns(UserWarning, match="mass"):
        metric.compute()
    complete(DetectionReport(metric=metric, folder=tmp_path))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["froc"], summary["found"], summary["missed"], summary["false_positives"]) == (None, 0, 0, 1)
    assert "average precision" not in capsys.readouterr().out


def test_found_masses_have_the_names_of_their_masks(tmp_path: Path) -> None:
    names = ("a/x_frame003_mask.png", "y_mask.nii.gz", "z_mask.png")
    batch = {"output": [str(tmp_path / name) for name in names]}
    masses = [[SimpleNamespace(box=BOX, score=0.75)], [], [SimpleNamespace(box=OTHER, score=0.5)] * 2]
    complete(FoundMasses(folder=tmp_path), {"pred": masses}, batch)
    assert [(row["id"], row["score"], row["matched"]) for row in rows_of(tmp_path / "detections.csv")] == [
        ("a/x_frame003", "0.75", ""),
        ("z", "0.5", ""),
        ("z", "0.5", ""),
    ]


SHAPES = [
    ShapeRow("case_m1", "p1", "oval", (0.1, 0.1, 0.7, 0.1)),
    ShapeRow("case_m2", "p2", "round", (0.1, 0.1, 0.1, 0.7)),
    ShapeRow("case_m3", "p3", "round", (0.7, 0.1, 0.1, 0.1)),
]


def test_shapes_are_counted_against_a_column_and_what_it_lacks_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "subtypes.csv"
    table.write_text("id,mass,subtype\ncase,1,luminal\ncase,2,basal\n")
    metric: Any = SimpleNamespace(rows=SHAPES)
    complete(ShapeReport(metric=metric, folder=tmp_path / "out", column_table=str(table), column="subtype"))
    counts = {row.pop("subtype"): row for row in rows_of(tmp_path / "out" / "shapes_by_column.csv")}
    assert (counts["luminal"]["oval"], counts["basal"]["round"], counts["basal"]["oval"]) == ("1", "1", "0")
    assert "1 of 3 masses have no subtype: case_m3" in caplog.text
    assert [row["id"] for row in rows_of(tmp_path / "out" / "shapes.csv")] == ["case_m1", "case_m2", "case_m3"]
    assert "macro" in capsys.readouterr().out.lower()


def test_an_evaluation_of_shapes_leaves_no_folds_of_the_one_before(tmp_path: Path) -> None:
    metric: Any = SimpleNamespace(rows=[ShapeRow("a", "a", "oval", (0.1, 0.2, 0.6, 0.1))])
    complete(ShapeReport(metric=metric, folder=tmp_path))
    before = {path.name for path in tmp_path.iterdir()}
    for name in ("folds.csv", "roc_folds.png", "roc_folds.svg"):
        (tmp_path / name).write_bytes(b"")
    with raises_user_error(path=tmp_path / "roc_folds.png"):
        ShapeReport(metric=metric, folder=tmp_path)
    save_figure(fold_roc_figure([ROC_GRID, ROC_GRID], [0.5, 0.5]), tmp_path / "other" / "roc_folds.png")
    for kind in ("png", "svg"):
        (tmp_path / f"other/roc_folds.{kind}").replace(tmp_path / f"roc_folds.{kind}")
    (tmp_path / "other").rmdir()
    complete(ShapeReport(metric=metric, folder=tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_table_and_its_column_go_together(tmp_path: Path) -> None:
    with raises_user_error("column_table", "column"):
        ShapeReport(metric=SimpleNamespace(rows=[]), folder=tmp_path, column="subtype")  # type: ignore[arg-type]


def test_a_table_of_shapes_begins_anew_with_each_run(tmp_path: Path) -> None:
    items = [
        {"id": name, "group": "p", "image": torch.full((1, 2, 2), value)}
        for name, value in (("seen", 1.0), ("not", 0.0))
    ]
    outputs = [{"pred": torch.tensor([0.1, 0.2, 0.3, 0.4])}] * 2
    evaluator = Engine(lambda engine, batch: outputs)
    ShapeTable(folder=tmp_path).attach(evaluator)
    for _ in range(2):
        evaluator.run([items])
        assert [(row["id"], row["predicted"]) for row in rows_of(tmp_path / "shapes.csv")] == [
            ("seen", "round"),
            ("not", ""),
        ]
