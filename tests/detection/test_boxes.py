"""Coding: the paper's formula, and there and back."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.detection.boxes import BOX_CODER, BOXES_PER_CELL, default_boxes, find_boxes, match_boxes
from tests.detection.corners import as_centers, as_corners

share = st.floats(0.02, 1)
box = st.tuples(share, share, share, share)


@settings(max_examples=50, deadline=None)
@given(box, box)
def test_offsets_follow_the_formula_and_lead_back(true: tuple[float, ...], default: tuple[float, ...]) -> None:
    corners = as_corners(torch.tensor([true], dtype=torch.float64))
    defaults = as_corners(torch.tensor([default], dtype=torch.float64))
    offsets = BOX_CODER.encode_single(corners, defaults)
    (cx, cy, w, h), (dx, dy, dw, dh) = true, default
    expected = [(cx - dx) / dw / 0.1, (cy - dy) / dh / 0.1, math.log(w / dw) / 0.2, math.log(h / dh) / 0.2]
    assert offsets[0].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    torch.testing.assert_close(BOX_CODER.decode_single(offsets, defaults), corners, rtol=0, atol=1e-5)


def test_wild_offsets_stay_finite() -> None:
    assert BOX_CODER.decode_single(torch.full((1, 4), 1e4), torch.tensor([[0.25, 0.25, 0.75, 0.75]])).isfinite().all()


def test_number_of_boxes_map_by_map() -> None:
    assert [n * side**2 for n, side in zip(BOXES_PER_CELL, (38, 19, 10, 5, 3, 1), strict=True)] == [
        5776, 2166, 600, 150, 36, 4,
    ]  # fmt: skip
    assert default_boxes().shape == (8732, 4)


def test_first_cell_of_each_map() -> None:
    boxes = as_centers(default_boxes())
    first = boxes[[0, 5776, 7942, 8542, 8692, 8728]]
    torch.testing.assert_close(first[:, 0] * 300, torch.tensor([4.0, 8, 16, 32, 50, 150]))
    torch.testing.assert_close(first[:, 2] * 300, torch.tensor([21.0, 45, 99, 153, 207, 261]))
    torch.testing.assert_close(boxes[-4:, 2] * 300, torch.tensor([261, 286.73158, 369.10974, 184.55487]))


def test_against_loops() -> None:
    expected = []
    for side, step, low, high, ratios in (
        (38, 8, 21, 45, (2,)),
        (19, 16, 45, 99, (2, 3)),
        (10, 32, 99, 153, (2, 3)),
        (5, 64, 153, 207, (2, 3)),
        (3, 100, 207, 261, (2,)),
        (1, 300, 261, 315, (2,)),
    ):
        for row in range(side):
            for column in range(side):
                cell = ((column + 0.5) * step, (row + 0.5) * step)
                expected.append((*cell, low, low))
                expected.append((*cell, (low * high) ** 0.5, (low * high) ** 0.5))
                for ratio in ratios:
                    expected.append((*cell, low * ratio**0.5, low / ratio**0.5))
                    expected.append((*cell, low / ratio**0.5, low * ratio**0.5))
    torch.testing.assert_close(as_centers(default_boxes()), torch.tensor(expected) / 300)


def iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    area = sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return shared / (area - shared)


def reference(truths: list[list[float]], defaults: list[list[float]]) -> list[int]:
    table = [[iou(t, d) for d in defaults] for t in truths]
    matched = [-1] * len(defaults)
    for d in range(len(defaults)):
        best = max(range(len(truths)), key=lambda t: table[t][d])
        if table[best][d] >= 0.5:
            matched[d] = best
    pairs = sorted((-table[t][d], t, d) for t in range(len(truths)) for d in range(len(defaults)))
    used_t, used_d = set(), set()
    for _, t, d in pairs:
        if t not in used_t and d not in used_d:
            used_t.add(t)
            used_d.add(d)
            matched[d] = t
    return matched


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_against_loops_match_boxes(seed: int, count: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    defaults = as_corners(torch.rand(12, 4, generator=rng) * 0.5 + 0.2)
    truths = as_corners(torch.rand(count, 4, generator=rng) * 0.5 + 0.2)
    matched = match_boxes(truths, defaults).tolist()
    assert matched == reference(truths.tolist(), defaults.tolist())
    assert set(range(count)) <= set(matched)


def test_a_box_too_small_for_any_default_still_gets_one() -> None:
    matched = match_boxes(torch.tensor([[0.500, 0.500, 0.501, 0.501]]), default_boxes())
    assert int((matched == 0).sum()) == 1


def test_no_truth_is_all_background() -> None:
    assert (match_boxes(torch.zeros(0, 4), default_boxes()) == -1).all()


def logits_of(scores: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.zeros_like(scores), scores.logit()], dim=-1)


def reference_find_boxes(boxes: list[list[float]], scores: list[float], least: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if scores[i] >= least and all(iou(boxes[i], boxes[k]) <= 0.45 for k in kept):
            kept.append(i)
    return kept


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5]))
def test_against_loops_find_boxes(seed: int, least: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    defaults = as_corners(torch.rand(20, 4, generator=rng) * 0.3 + 0.3)
    scores = torch.rand(20, generator=rng) * 0.98 + 0.01
    (found,) = find_boxes(torch.zeros(1, 20, 4), logits_of(scores)[None], defaults, min_score=least)
    kept = reference_find_boxes(defaults.tolist(), scores.tolist(), least)
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
