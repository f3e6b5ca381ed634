"""Average precision and FROC of a detector whose output is made by hand."""

from __future__ import annotations

import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from bus_monai.errors import UserError
from bus_monai.metrics.ignite_detection_metric import DetectionMetric
from bus_monai.transforms.frames import Frame
from tests.detection.output_of import output_of

SIZE = (100, 200)


def item(id: str) -> dict:
    return {"id": id, "image": MetaTensor(torch.zeros(1, 300, 300), meta={"source_shape": torch.tensor(SIZE)})}


def shares(*frames: Frame) -> torch.Tensor:
    boxes = torch.tensor([[f.left, f.top, f.right, f.bottom] for f in frames], dtype=torch.float32).reshape(-1, 4)
    return boxes / torch.tensor([200, 100, 200, 100])


A, B, C = Frame(10, 20, 30, 60), Frame(50, 100, 80, 150), Frame(60, 10, 90, 50)


def test_two_images_and_a_normal_one() -> None:
    """A is found at 0.9, B missed, C false at 0.8 in the normal image and found at 0.3 in the second."""
    metric = DetectionMetric(threshold=0.5)
    metric.update(
        (
            [item("b"), item("a")],
            {
                "pred": torch.cat([output_of(shares(A), [0.9]), output_of(shares(C), [0.3])]),
                "label": [shares(A, B), shares(C)],
            },
        )
    )
    metric.update(([item("c")], {"pred": output_of(shares(C), [0.8]), "label": [shares()]}))
    # precision 1 at 1/3, then 2/3 at 2/3
    assert metric.compute() == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert metric.beside() == pytest.approx(
        {"froc_0.25": 1 / 3, "froc_0.5": 2 / 3, "froc_1": 2 / 3, "froc_2": 2 / 3, "sensitivity": 1 / 3,
         "false_positives": 1 / 3}
    )  # fmt: skip
    assert [image.id for image in metric.images] == ["a", "b", "c"]
    assert [(m.image, m.frame, m.truth) for m in metric.matched] == [("b", A, 0), ("c", C, None), ("a", C, 0)]
    assert [m.score for m in metric.matched] == pytest.approx([0.9, 0.8, 0.3], abs=1e-5)


def test_images_without_masses_count_as_zero_with_a_warning() -> None:
    metric = DetectionMetric()
    metric.update(([item("a")], {"pred": output_of(shares(A), [0.9]), "label": [shares()]}))
    with pytest.warns(UserWarning, match=r"^None of the 1 images has a mass: average precision counts as 0.$"):
        assert metric.compute() == 0
    assert metric.beside() == {"false_positives": 1}


def test_an_id_that_comes_twice() -> None:
    metric = DetectionMetric()
    batch = ([item("a")], {"pred": output_of(shares(), []), "label": [shares()]})
    metric.update(batch)
    with pytest.raises(
        UserError, match=r"^Two cases have the id 'a': give each case of the datalist an id of its own.$"
    ):
        metric.update(batch)
