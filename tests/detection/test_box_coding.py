"""Coding: the paper's formula, and there and back."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.detection.box_coding import BOX_CODER
from tests.detection.corners import as_corners

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
