"""Matching against a plain reference."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.detection.default_boxes import default_boxes
from bus_monai.detection.match_boxes import match_boxes
from tests.detection.corners import as_corners


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
def test_against_loops(seed: int, count: int) -> None:
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
