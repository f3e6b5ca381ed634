"""Average precision and FROC of a detector whose output is made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite import distributed as idist
from ignite.engine import Engine
from monai.data.dataloader import DataLoader
from monai.data.dataset import Dataset
from monai.data.meta_tensor import MetaTensor
from monai.engines.evaluator import SupervisedEvaluator
from monai.transforms.compose import Compose
from monai.transforms.post.array import Activations
from monai.transforms.post.dictionary import Activationsd
from monai.transforms.spatial.dictionary import Resized

from bus_monai.geometry.box import Box
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.ignite import CaseMetric, DetectionMetric, scored_spacing
from bus_monai.metrics.segmentation import score_case
from tests.detection.output_of import output_of
from tests.user_errors import raises_user_error


class Logit(torch.nn.Module):
    """Inverts the sigmoid that follows, so that the image is the probability map."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.logit(image, eps=1e-6)


def item(
    id: str, predicted: Any, truth: Any, *, group: str = "g", spacing: tuple[float, float] = (math.nan, math.nan)
) -> dict[str, Any]:
    image = torch.as_tensor(predicted, dtype=torch.float32)[None]
    return {
        "id": id,
        "group": group,
        "diagnosis": "benign" if np.any(truth) else "normal",
        "image": MetaTensor(image, meta={"spacing_mm": np.asarray(spacing)}),
        "label": MetaTensor(torch.as_tensor(truth, dtype=torch.float32)[None]),
    }


def evaluate(items: Sequence[dict[str, Any]], *, transform: Any = None, **metrics: CaseMetric) -> Engine:
    key, *others = metrics
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(list(items), transform), batch_size=2),
        network=Logit(),
        postprocessing=Activationsd(keys="pred", sigmoid=True),
        key_val_metric={key: metrics[key]},
        additional_metrics={name: metrics[name] for name in others},
    )
    evaluator.run()
    return evaluator


HALF = item("half", [[0.9, 0.9, 0.1, 0.1]], [[1, 0, 0, 0]], group="p")
MISSED = item("missed", [[0.1, 0.1, 0.1, 0.1]], [[1, 1, 0, 0]], group="q")
CLEAN = item("clean", [[0.1, 0.1, 0.1, 0.1]], [[0, 0, 0, 0]])
FALSE = item("false", [[0.9, 0.9, 0.9, 0.1]], [[0, 0, 0, 0]])
ALL = [HALF, MISSED, CLEAN, FALSE]


def test_evaluator_publishes_the_means_over_lesions_and_the_false_positives() -> None:
    metric = CaseMetric()
    state = evaluate(ALL, dice=metric).state

    assert state.metrics["dice"] == state.best_metric == pytest.approx((2 / 3 + 0) / 2)
    assert state.metrics["iou"] == pytest.approx(1 / 4)
    assert state.metrics["precision"] == pytest.approx(1 / 4)
    assert state.metrics["sensitivity"] == pytest.approx(1 / 2)
    assert state.metrics["specificity"] == pytest.approx((2 / 3 + 1) / 2)
    assert state.metrics["accuracy"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert state.metrics["m_iou"] == pytest.approx(
        np.mean([0.9 * (1 / 2 + 2 / 3) / 2 + 0.1 * (0 + 3 / 4) / 2, (0 + 2 / 4) / 2])
    )
    assert state.metrics["hd95_px"] == pytest.approx((0.95 + math.sqrt(17)) / 2)
    assert state.metrics["assd_px"] == pytest.approx((1 / 3 + math.sqrt(17)) / 2)
    assert state.metrics["missed_lesions"] == 1.0
    assert state.metrics["false_positive_rate"] == 0.5
    assert state.metrics["false_area_px"] == 1.5
    assert "hd95_mm" not in state.metrics
    assert all(isinstance(value, float) and math.isfinite(value) for value in state.metrics.values())


def test_rows_are_those_of_the_cases_sorted_by_id() -> None:
    metric = CaseMetric()
    evaluate(ALL, dice=metric)
    assert [(row.id, row.group, row.diagnosis) for row in metric.rows] == [
        ("clean", "g", "normal"),
        ("false", "g", "normal"),
        ("half", "p", "benign"),
        ("missed", "q", "benign"),
    ]
    expected = score_case(np.array([[0.9, 0.9, 0.1, 0.1]]), np.array([[1, 0, 0, 0]]))
    assert metric.rows[2] == CaseRow.of(expected, id="half", group="p", diagnosis="benign")


def test_a_second_run_begins_anew() -> None:
    metric = CaseMetric()
    evaluator = evaluate(ALL, dice=metric)
    first = dict(evaluator.state.metrics)
    evaluator.data_loader, evaluator.state.epoch_length = DataLoader(Dataset([HALF]), batch_size=2), 1
    evaluator.run()
    assert [row.id for row in metric.rows] == ["half"]
    assert evaluator.state.metrics["dice"] == pytest.approx(2 / 3)
    assert set(first) - set(evaluator.state.metrics) == {"false_positive_rate", "false_area_px"}


def test_metric_rule_threshold_and_name() -> None:
    state = evaluate(
        ALL,
        pooled_dice=CaseMetric(rule="pooled"),
        strict=CaseMetric(metric="iou", threshold=0.95, name="strict"),
    ).state
    # tp 1, fp 1 + 3, fn 2
    assert state.metrics["pooled_dice"] == state.metrics["dice"] == pytest.approx(2 / 8)
    assert state.metrics["strict"] == state.metrics["strict_dice"] == 0.0
    assert state.metrics["strict_missed_lesions"] == 2.0


def test_what_is_published_beside_never_replaces_the_metric_itself() -> None:
    metrics = evaluate(ALL, iou=CaseMetric(metric="dice")).state.metrics
    assert metrics["iou"] == metrics["dice"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("metric", "worst"), [("dice", 0.0), ("hd95_px", math.inf)])
def test_a_set_without_lesion_has_the_worst_value_and_a_warning(metric: str, worst: float) -> None:
    message = f"None of the 2 cases falls under the rule 'lesion': {metric} counts as {worst}"
    with pytest.warns(UserWarning, match=message):
        state = evaluate([CLEAN, FALSE], key=CaseMetric(metric=metric)).state
    assert state.metrics == {"key": worst, "false_positive_rate": 0.5, "false_area_px": 1.5}


def test_millimeters_refer_to_the_grid_that_is_scored() -> None:
    truth = np.zeros((8, 8))
    truth[2:4, 2:4] = 1
    beside = np.full((8, 8), 0.1)
    beside[2:4, 6:8] = 0.9
    source = item("case", beside, truth, spacing=(0.1, 0.2))
    metric = CaseMetric()

    evaluate([source], dice=metric)
    assert metric.rows[0].hd95_mm == pytest.approx(4 * 0.2)
    assert metric.rows[0].true_area_mm2 == pytest.approx(4 * 0.02)

    halve = Compose([Resized(keys=["image", "label"], spatial_size=(4, 4), mode="nearest")])
    evaluate([source], transform=halve, dice=metric)
    assert metric.rows[0].true_area_px == 1
    assert metric.rows[0].hd95_mm == pytest.approx(2 * 0.4)
    assert metric.rows[0].true_area_mm2 == pytest.approx(4 * 0.02)


def test_spacing_is_unknown_without_metadata() -> None:
    known = item("a", [[0.0]], [[0]], spacing=(0.1, 0.2))
    assert scored_spacing(known) == pytest.approx((0.1, 0.2))
    assert scored_spacing(item("a", [[0.0]], [[0]])) is None
    assert scored_spacing(known | {"label": torch.zeros(1, 1, 1)}) is None
    assert scored_spacing(known | {"image": torch.zeros(1, 1, 1)}) is None


def test_a_case_without_group_is_its_own_group() -> None:
    metric = CaseMetric()
    bare = {key: HALF[key] for key in ("id", "image", "label")}
    evaluate([bare], dice=metric)
    assert (metric.rows[0].group, metric.rows[0].diagnosis) == ("half", "unknown")


def _compute_on_two(rank: int, parts: list[list[CaseRow]], folder: Path) -> None:
    metric = CaseMetric()
    metric._collected = {row.id: row for row in parts[rank]}
    value = metric.compute()
    (folder / str(rank)).write_text(f"{value!r} {[row.id for row in metric.rows]}")


def test_processes_gather_their_rows_and_drop_padding(tmp_path: Path) -> None:
    single = CaseMetric()
    evaluate(ALL, dice=single)
    clean, _, half, missed = single.rows
    # a distributed sampler gives the second process the first case again
    idist.spawn(
        "gloo",
        _compute_on_two,
        args=([[half, clean], [missed, half]], tmp_path),
        nproc_per_node=2,
        start_method="fork",
        init_method=f"file://{tmp_path}/meeting-point",
    )
    expected = f"{half.dice / 2!r} {['clean', 'half', 'missed']}"  # type: ignore[operator]
    assert [(tmp_path / rank).read_text() for rank in "01"] == [expected, expected]


@pytest.mark.parametrize(
    ("arguments", "key", "named"),
    [
        ({"rule": "mean"}, "rule", ["mean", "lesion", "pooled"]),
        ({"metric": "loss"}, "metric", ["loss", "lesion", "dice", "iou"]),
        ({"metric": "hd95_px", "rule": "pooled"}, "metric", ["hd95_px", "pooled", "dice"]),
    ],
)
def test_wrong_choices_are_refused_at_once(arguments: dict[str, str], key: str, named: list[str]) -> None:
    with raises_user_error(*named, key=key):
        CaseMetric(**arguments)  # type: ignore[arg-type]


def test_two_cases_of_the_same_id_are_an_error() -> None:
    with raises_user_error("half"):
        evaluate([HALF, MISSED, HALF], dice=CaseMetric())


@pytest.mark.parametrize(
    ("batch", "output", "named"),
    [
        ({"id": ["a"]}, {}, ["decollate=True"]),
        ([{}], [{}], ["id"]),
        (
            [{"id": "a"}],
            [{"pred": torch.zeros(1, 4, 4), "label": torch.zeros(1, 2, 2)}],
            ["a", (1, 4, 4), (1, 2, 2), "(1, H, W)"],
        ),
        (
            [{"id": "a", "label": torch.zeros(1, 2, 2)}],
            [{"pred": Activations()(torch.full((1, 2, 2), -3.0)), "label": torch.zeros(1, 2, 2)}],
            ["a", "[0, 1]", -3.0],
        ),
    ],
)
def test_what_cannot_be_scored_is_named(batch: Any, output: Any, named: list[object]) -> None:
    with raises_user_error(*named):
        CaseMetric().update((batch, output))


SIZE = (100, 200)


def item_ignite_detection_metric(id: str) -> dict:
    return {"id": id, "image": MetaTensor(torch.zeros(1, 300, 300), meta={"source_shape": torch.tensor(SIZE)})}


def shares(*boxes: Box) -> torch.Tensor:
    xyxy = torch.tensor([box.xyxy for box in boxes], dtype=torch.float32).reshape(-1, 4)
    return xyxy / torch.tensor([200, 100, 200, 100])


A, B, C = Box(10, 20, 30, 60), Box(50, 100, 80, 150), Box(60, 10, 90, 50)


def test_two_images_and_a_normal_one() -> None:
    """A is found at 0.9, B missed, C false at 0.8 in the normal image and found at 0.3 in the second."""
    metric = DetectionMetric(threshold=0.5)
    metric.update(
        (
            [item_ignite_detection_metric("b"), item_ignite_detection_metric("a")],
            {
                "pred": torch.cat([output_of(shares(A), [0.9]), output_of(shares(C), [0.3])]),
                "label": [shares(A, B), shares(C)],
            },
        )
    )
    metric.update(([item_ignite_detection_metric("c")], {"pred": output_of(shares(C), [0.8]), "label": [shares()]}))
    # precision 1 at 1/3, then 2/3 at 2/3
    assert metric.compute() == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert metric.beside() == pytest.approx(
        {"froc_0.25": 1 / 3, "froc_0.5": 2 / 3, "froc_1": 2 / 3, "froc_2": 2 / 3, "sensitivity": 1 / 3,
         "false_positives": 1 / 3}
    )  # fmt: skip
    assert [image.id for image in metric.rows] == ["a", "b", "c"]
    assert [(box.image, box.box, truth) for box, truth in metric.matched] == [("b", A, 0), ("c", C, None), ("a", C, 0)]
    assert [box.score for box, _ in metric.matched] == pytest.approx([0.9, 0.8, 0.3], abs=1e-5)


def test_images_without_masses_count_as_zero_with_a_warning() -> None:
    metric = DetectionMetric()
    metric.update(([item_ignite_detection_metric("a")], {"pred": output_of(shares(A), [0.9]), "label": [shares()]}))
    with pytest.warns(UserWarning, match=r"^None of the 1 images has a mass: average precision counts as 0.$"):
        assert metric.compute() == 0
    assert metric.beside() == {"false_positives": 1}


def test_an_id_that_comes_twice() -> None:
    metric = DetectionMetric()
    batch = ([item_ignite_detection_metric("a")], {"pred": output_of(shares(), []), "label": [shares()]})
    metric.update(batch)
    with raises_user_error("a"):
        metric.update(batch)
