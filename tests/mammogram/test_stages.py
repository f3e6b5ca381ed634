"""The detector as a stage."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import Resized
from torch import nn

from bus_monai.geometry.box import Box
from bus_monai.mammogram.stages import FoundMass, MassDetector
from tests.detection.output_of import output_of
from tests.user_errors import raises_user_error

BOXES = (Box(10, 20, 30, 60), Box(50, 100, 80, 150), Box(12, 22, 32, 60))
SCORES = [0.6, 0.9, 0.55]


class Constant(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        assert x.shape == (1, 1, 300, 300)
        boxes = torch.tensor([box.xyxy for box in BOXES]) / torch.tensor([200, 100, 200, 100])
        return output_of(boxes, SCORES)


def detect(**options: float) -> list[FoundMass]:
    return MassDetector(Constant(), Resized("image", (300, 300)), **options)(torch.rand(1, 100, 200))


def test_boxes_in_pixels_of_the_source_the_best_first() -> None:
    found = detect()
    assert [mass.box for mass in found] == [BOXES[1], BOXES[0]]
    assert [mass.score for mass in found] == pytest.approx([0.9, 0.6], abs=1e-5)


def test_thresholds() -> None:
    assert [mass.box for mass in detect(score_threshold=0.7)] == [BOXES[1]]
    assert [mass.box for mass in detect(nms_threshold=0.95)] == [BOXES[1], BOXES[0], BOXES[2]]
    with raises_user_error(50, 0, 1, key="score_threshold"):
        detect(score_threshold=50)
