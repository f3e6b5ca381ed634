"""The detector as a stage."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import Resized
from torch import nn

from bus_monai.errors import UserError
from bus_monai.geometry.box import Frame
from bus_monai.mammogram.stages import FoundMass, MassDetector
from tests.detection.output_of import output_of

FRAMES = (Frame(10, 20, 30, 60), Frame(50, 100, 80, 150), Frame(12, 22, 32, 60))
SCORES = [0.6, 0.9, 0.55]


class Constant(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        assert x.shape == (1, 1, 300, 300)
        boxes = torch.tensor([[f.left, f.top, f.right, f.bottom] for f in FRAMES]) / torch.tensor([200, 100, 200, 100])
        return output_of(boxes, SCORES)


def detect(**options: float) -> list[FoundMass]:
    return MassDetector(Constant(), Resized("image", (300, 300)), **options)(torch.rand(1, 100, 200))


def test_frames_in_pixels_of_the_source_the_best_first() -> None:
    found = detect()
    assert [mass.frame for mass in found] == [FRAMES[1], FRAMES[0]]
    assert [mass.score for mass in found] == pytest.approx([0.9, 0.6], abs=1e-5)


def test_thresholds() -> None:
    assert [mass.frame for mass in detect(score_threshold=0.7)] == [FRAMES[1]]
    assert [mass.frame for mass in detect(nms_threshold=0.95)] == [FRAMES[1], FRAMES[0], FRAMES[2]]
    with pytest.raises(UserError, match=r"^score_threshold is 50: give a number from 0 to 1.$"):
        detect(score_threshold=50)
