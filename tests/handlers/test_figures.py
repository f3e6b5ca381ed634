"""Which cases figures show, and when."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from matplotlib.figure import Figure

from bus_monai.geometry.box import Box
from bus_monai.handlers import figures
from bus_monai.handlers.figures import DetectionExamples, ExampleFigure, ValidationDetections, ValidationFigure
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.detection import Detection, match_detections
from bus_monai.metrics.ignite import ImageDetections
from bus_monai.metrics.segmentation import score_case
from bus_monai.report.paper import save_figure

TRUTH = np.array([[1, 1, 1, 1, 0, 0, 0, 0]])
BOX, ELSEWHERE = Box(0, 0, 4, 4), Box(4, 4, 8, 8)


def case(id: str, hits: int) -> tuple[dict[str, Any], dict[str, Any], CaseRow]:
    """Make the item, output and row of a case of which so many of four pixels are found."""
    predicted = np.zeros(TRUTH.shape)
    predicted[:, :hits] = 1
    item = {"id": id, "image_native": torch.full((1, 1, 8), 0.5)}
    output = {key: torch.as_tensor(values[None]) for key, values in (("label", TRUTH), ("pred", predicted))}
    return item, output, CaseRow.of(score_case(predicted, TRUTH), id=id, group=id, diagnosis="benign")


def show(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """Note with which arguments a figure is drawn."""
    drawn: list[Any] = []

    def draw(*words: Any, **options: Any) -> Figure:
        drawn.append((words, options))
        return Figure()

    monkeypatch.setattr(figures, name, draw)
    return drawn


def evaluate(cases: list[tuple[dict[str, Any], dict[str, Any], CaseRow]], folder: Path) -> None:
    outputs = {item["id"]: output for item, output, _ in cases}
    evaluator = Engine(lambda engine, batch: [outputs[item["id"]] for item in batch])
    metric: Any = SimpleNamespace(rows=[row for *_, row in cases])
    ExampleFigure(metric=metric, folder=folder).attach(evaluator)
    evaluator.run([[item] for item, *_ in cases])


@pytest.mark.parametrize(
    ("found", "titles"),
    [
        ([4], ["worst: 0, Dice 1.00"]),
        ([1, 4], ["worst but one: 1, Dice 1.00", "worst: 0, Dice 0.40"]),
        (
            [0, 1, 2, 3, 4, 4, 4, 4],
            [
                "best: 4, Dice 1.00",
                "best but one: 5, Dice 1.00",
                "median: 7, Dice 1.00",
                "lower quartile: 2, Dice 0.67",
                "worst but one: 1, Dice 0.40",
                "worst: 0, Dice 0.00",
            ],
        ),
    ],
)
def test_examples_go_from_the_best_to_the_worst_case(
    found: list[int], titles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [show(monkeypatch, name) for name in ("contour_figure", "overlay_figure")]
    evaluate([case(str(number), hits) for number, hits in enumerate(found)], tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"examples", "overlays"}
    for (((images, truths, probabilities, told), options),) in drawn:
        assert (told, options) == (titles, {"threshold": 0.5})
        for title, image, truth, probability in zip(told, images, truths, probabilities, strict=True):
            np.testing.assert_array_equal(image, np.full((1, 8), 0.5))
            np.testing.assert_array_equal(truth, TRUTH)
            assert probability.sum() == found[int(title.split(": ")[1].split(",")[0])]


def test_without_a_lesion_there_are_no_examples(tmp_path: Path) -> None:
    item, output, row = case("normal", 4)
    empty = CaseRow.of(score_case(0 * TRUTH, 0 * TRUTH), id="normal", group="normal", diagnosis="normal")
    assert row.has_lesion
    # of an earlier evaluation
    save_figure(Figure(), tmp_path / "overlays.png")
    evaluate([(item, output, empty)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_examples_of_detections_go_from_the_fewest_errors_to_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drawn,) = [show(monkeypatch, "detection_figure")]
    boxes = {"right": [BOX], "none": [], "missed": [], "false": [BOX, ELSEWHERE], "both": [ELSEWHERE], "unsure": [BOX]}
    truths = {name: [BOX] for name in boxes} | {"none": []}
    scores = {name: 0.2 if name == "unsure" else 0.9 for name in boxes}
    rows = [
        ImageDetections(name, (8, 8), tuple(found), (scores[name],) * len(found), tuple(truths[name]))
        for name, found in boxes.items()
    ]
    detections = [Detection(name, box, scores[name]) for name, found in boxes.items() for box in found]
    metric: Any = SimpleNamespace(rows=rows, matched=match_detections(detections, truths), threshold=0.5)
    images = torch.arange(6.0)[:, None, None, None].expand(6, 1, 8, 8)
    evaluator = Engine(lambda engine, batch: {"image": images})
    DetectionExamples(metric=metric, folder=tmp_path).attach(evaluator)
    evaluator.run([[{"id": name} for name in boxes]])
    (((pixels, shown), options),) = drawn
    # a miss and a false box are an error each; what scores below the threshold is no box
    assert [image.id for image in shown] == ["right", "none", "missed", "false", "unsure", "both"]
    assert [int(image[0, 0]) for image in pixels] == [list(boxes).index(image.id) for image in shown]
    assert options == {"threshold": 0.5}
    assert (tmp_path / "examples.png").is_file()


class Logged:
    """Takes figures in the place of MLflow."""

    def __init__(self, enabled: bool = True) -> None:
        self.enabled, self.epochs = enabled, []  # type: ignore[var-annotated]

    def log_validation(self, figure: Figure, epoch: int) -> None:
        self.epochs.append(epoch)


def train(handler: Any, evaluator: Engine, batches: list[list[dict[str, Any]]], epochs: int) -> None:
    trainer: Any = Engine(lambda engine, batch: None)
    trainer.is_due = lambda interval: trainer.state.epoch % interval == 0 or trainer.state.epoch == epochs
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(batches))
    handler.attach(trainer)
    trainer.run([0], max_epochs=epochs)


@pytest.mark.parametrize(("enabled", "epochs"), [(True, [2, 4, 5]), (False, [])])
def test_the_first_validation_images_are_logged_every_few_epochs_and_in_the_last(
    enabled: bool, epochs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, logged = show(monkeypatch, "contour_figure"), Logged(enabled)
    maps = {key: torch.zeros(1, 4, 4) for key in ("image", "label", "pred")}
    evaluator = Engine(lambda engine, batch: [maps for _ in batch])
    batches = [[{"id": f"{number}"} for number in range(start, start + 4)] for start in (0, 4)]
    train(ValidationFigure(evaluator=evaluator, tracker=logged, interval=2), evaluator, batches, 5)  # type: ignore[arg-type]
    assert logged.epochs == epochs
    assert [words[3] for words, _ in drawn] == [tuple("012345")] * len(epochs)


def test_the_first_validation_images_are_logged_with_their_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, logged = show(monkeypatch, "detection_figure"), Logged()
    rows = [ImageDetections(f"{number}", (4, 4), (BOX,), (0.9,), (BOX,)) for number in range(8)]
    metric: Any = SimpleNamespace(rows=rows, threshold=0.3)
    evaluator = Engine(lambda engine, batch: {"image": torch.full((4, 1, 4, 4), float(batch[0]["id"]))})
    batches = [[{"id": f"{number}"} for number in range(start, start + 4)] for start in (0, 4)]
    handler = ValidationDetections(evaluator=evaluator, metric=metric, tracker=logged, interval=3)  # type: ignore[arg-type]
    train(handler, evaluator, batches, 4)
    assert logged.epochs == [3, 4]
    for (pixels, shown), options in drawn:
        assert [image.id for image in shown] == list("012345")
        assert [float(image[0, 0]) for image in pixels] == [0, 0, 0, 0, 4, 4]
        assert options == {"threshold": 0.3}
