"""Post-processing against plain suppression."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.detection.find_boxes import find_boxes
from tests.detection.corners import as_corners
from tests.detection.test_match_boxes import iou


def logits_of(scores: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.zeros_like(scores), scores.logit()], dim=-1)


def reference(boxes: list[list[float]], scores: list[float], least: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if scores[i] >= least and all(iou(boxes[i], boxes[k]) <= 0.45 for k in kept):
            kept.append(i)
    return kept


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5]))
def test_against_loops(seed: int, least: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    defaults = as_corners(torch.rand(20, 4, generator=rng) * 0.3 + 0.3)
    scores = torch.rand(20, generator=rng) * 0.98 + 0.01
    (found,) = find_boxes(torch.zeros(1, 20, 4), logits_of(scores)[None], defaults, least_score=least)
    kept = reference(defaults.tolist(), scores.tolist(), least)
    torch.testing.assert_close(found.boxes, defaults[kept])
    torch.testing.assert_close(found.scores, scores[kept])


def test_images_of_a_batch_are_apart_and_boxes_are_cut_at_the_border() -> None:
    defaults = as_corners(torch.tensor([[0.1, 0.5, 0.4, 0.2], [0.9, 0.5, 0.4, 0.2], [2.0, 0.5, 0.4, 0.2]]))
    scores = torch.tensor([[0.9, 0.8, 0.99], [0.2, 0.3, 0.99]])
    first, second = find_boxes(torch.zeros(2, 3, 4), logits_of(scores), defaults)
    torch.testing.assert_close(first.boxes, torch.tensor([[0, 0.4, 0.3, 0.6], [0.7, 0.4, 1, 0.6]]))
    assert first.scores.tolist() == pytest.approx([0.9, 0.8])
    assert second.boxes.shape == (0, 4)
    assert second.scores.shape == (0,)
