"""Whole pixels of boxes."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.detection.box_frame import box_frame

SIDES = st.integers(1, 5000)


@given(SIDES, SIDES, st.data())
def test_whole_pixels_come_back(height: int, width: int, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    box = torch.tensor([left, top, right, bottom]) / torch.tensor([width, height, width, height])
    assert box_frame(box, (height, width)) == (top, left, bottom, right)


@given(SIDES, SIDES, st.lists(st.floats(-1, 2), min_size=4, max_size=4))
def test_a_frame_has_pixels_inside_the_image(height: int, width: int, box: list[float]) -> None:
    top, left, bottom, right = box_frame(torch.tensor(box), (height, width))
    assert 0 <= top < bottom <= height
    assert 0 <= left < right <= width
