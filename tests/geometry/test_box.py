"""Whole pixels of boxes."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.errors import UserError
from bus_monai.geometry.box import Frame, box_frame, crop, full_frame, loose_frame, mask_box, paste, tight_frame

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


@settings(max_examples=50, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 5)), min_size=1))
def test_the_smallest_box_that_holds_all_pixels(pixels: set[tuple[int, int]]) -> None:
    mask = np.zeros((9, 6), dtype=bool)
    mask[tuple(np.array(sorted(pixels)).T)] = True
    rows, columns = zip(*pixels, strict=True)
    assert mask_box(mask) == (min(columns), min(rows), max(columns) + 1, max(rows) + 1)


def test_an_empty_mask_has_none() -> None:
    with pytest.raises(ValueError, match=r"^An empty mask has no box.$"):
        mask_box(np.zeros((3, 3), dtype=bool))


@st.composite
def images_and_boxes(draw: st.DrawFn) -> tuple[tuple[int, int], Frame]:
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
    return (height, width), Frame(top, left, bottom, right)


def holds(outer: Frame, inner: Frame) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


@given(images_and_boxes(), st.floats(1, 10))
def test_loose_frame(case: tuple[tuple[int, int], Frame], scale: float) -> None:
    size, box = case
    frame = loose_frame(box, scale, size)
    assert holds(full_frame(size), frame)
    assert holds(frame, box)
    side = round(min(scale * max(box.bottom - box.top, box.right - box.left), max(size)))
    assert (frame.bottom - frame.top, frame.right - frame.left) == (min(side, size[0]), min(side, size[1]))


@given(images_and_boxes(), st.floats(1, 10))
def test_away_from_the_border_the_centre_stays(case: tuple[tuple[int, int], Frame], scale: float) -> None:
    (height, width), box = case
    # with this much room nothing needs to be shifted
    room = 10 * max(height, width)
    frame = loose_frame(Frame(*(v + room for v in box)), scale, (height + 2 * room, width + 2 * room))
    for i in (0, 1):
        assert abs((frame[i] + frame[i + 2]) - (box[i] + box[i + 2] + 2 * room)) <= 1


@given(images_and_boxes(), st.floats(1, 4), st.integers(0, 99))
def test_round_trip(case: tuple[tuple[int, int], Frame], scale: float, seed: int) -> None:
    size, box = case
    mask = (torch.rand(1, *size, generator=torch.Generator().manual_seed(seed)) > 0.5).to(torch.uint8)
    for frame in (full_frame(size), tight_frame(box, size), loose_frame(box, scale, size)):
        whole = paste(crop(mask, frame), frame, size)
        assert whole.dtype == torch.uint8
        assert whole.shape == (1, *size)
        assert torch.equal(crop(whole, frame), crop(mask, frame))
        assert int(whole.sum()) == int(crop(mask, frame).sum())


@given(images_and_boxes(), st.integers(1, 5))
def test_an_enlarged_crop_comes_back_exactly(case: tuple[tuple[int, int], Frame], factor: int) -> None:
    size, box = case
    mask = (torch.rand(2, *size) > 0.5).float()
    small = crop(mask, box)
    large = small.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)
    assert torch.equal(paste(large, box, size), paste(small, box, size))


@pytest.mark.parametrize(
    ("box", "scale", "expected"),
    [
        (Frame(40, 50, 60, 70), 1.5, Frame(35, 45, 65, 75)),
        (Frame(40, 50, 50, 70), 1.5, Frame(30, 45, 60, 75)),
        (Frame(0, 0, 20, 20), 1.5, Frame(0, 0, 30, 30)),
        (Frame(90, 180, 100, 200), 1.5, Frame(70, 170, 100, 200)),
        (Frame(45, 10, 55, 190), 1.0, Frame(0, 10, 100, 190)),
        (Frame(45, 10, 55, 190), 2.0, Frame(0, 0, 100, 200)),
    ],
)
def test_known_frames_in_an_image_of_100_x_200(box: Frame, scale: float, expected: Frame) -> None:
    assert loose_frame(box, scale, (100, 200)) == expected


def test_a_box_that_sticks_out_is_cut() -> None:
    assert tight_frame(Frame(-5, 3, 4, 99), (10, 20)) == Frame(0, 3, 4, 20)


@pytest.mark.parametrize("box", [Frame(0, 20, 5, 25), Frame(4, 4, 4, 8), Frame(-9, 0, 0, 5)])
def test_a_box_without_pixels_is_named(box: Frame) -> None:
    message = (
        f"The box {tuple(box)} has no pixel inside the image of 10 x 20: give (top, left, bottom, right) in pixels."
    )
    with pytest.raises(UserError, match="^" + re.escape(message) + "$"):
        loose_frame(box, 1.5, (10, 20))


@pytest.mark.parametrize("scale", [0.9, float("nan")])
def test_a_scale_below_one_is_named(scale: float) -> None:
    with pytest.raises(UserError, match=rf"^loose_scale is {scale}: give 1 or more\.$"):
        loose_frame(Frame(0, 0, 1, 1), scale, (2, 2))
