"""Boxes: tight around masks, there and back between orders, and crops around them that stay inside the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.geometry.box import Box, loose_box, tight_box
from tests.user_errors import raises_user_error

LENGTHS = st.integers(1, 5000)
OFFSETS = st.integers(-100, 100)
ANY_BOXES = st.builds(Box, OFFSETS, OFFSETS, OFFSETS, OFFSETS)


@st.composite
def images_and_boxes(draw: st.DrawFn) -> tuple[tuple[int, int], Box]:
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
    return (height, width), Box(top, left, bottom, right)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 5)), min_size=1))
def test_the_smallest_box_that_holds_all_pixels(pixels: set[tuple[int, int]]) -> None:
    mask = np.zeros((9, 6), dtype=bool)
    mask[tuple(np.array(sorted(pixels)).T)] = True
    rows, columns = zip(*pixels, strict=True)
    box = Box.from_mask(mask)
    assert box == Box(min(rows), min(columns), max(rows) + 1, max(columns) + 1)
    assert np.count_nonzero(mask[box.slices]) == len(pixels)
    assert Box.from_slices(box.slices) == box


@pytest.mark.parametrize("size", [(3, 4), (0, 4), (3, 0)])
def test_that_of_an_empty_mask_has_no_pixel(size: tuple[int, int]) -> None:
    assert Box.from_mask(np.zeros(size, dtype=bool)) == Box(0, 0, 0, 0)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_a_mask_may_hold_numbers_in_any_order(kind: type) -> None:
    mask = np.zeros((9, 6), kind)
    mask[2:5, 3] = 256 if kind in (np.int64, np.float32) else 1
    for same in (mask, np.asfortranarray(mask), np.repeat(mask, 2, axis=1)[:, ::2]):
        assert Box.from_mask(same) == Box(2, 3, 5, 4)


@given(ANY_BOXES)
def test_xyxy_and_back(box: Box) -> None:
    left, top, right, bottom = box.xyxy
    assert (top, left, bottom, right) == box.sides
    assert Box.from_xyxy(box.xyxy) == box
    assert Box.from_xyxy([side + 0.4 for side in box.xyxy]) == box


@given(ANY_BOXES, OFFSETS, OFFSETS)
def test_shifted_and_back(box: Box, rows: int, columns: int) -> None:
    moved = box.shifted(rows, columns)
    assert (moved.top - box.top, moved.left - box.left) == (rows, columns)
    assert (moved.height, moved.width) == (box.height, box.width)
    assert moved.shifted(-rows, -columns) == box


@given(images_and_boxes(), ANY_BOXES)
def test_the_intersection_holds_the_pixels_of_both(case: tuple[tuple[int, int], Box], other: Box) -> None:
    size, box = case
    whole = Box.of_image(size)
    inside = other.intersection(whole)
    assert inside.intersection(whole) == inside
    assert box.intersection(whole) == box
    counts = np.zeros((300, 300), dtype=int)
    for one in (box, other):
        if one.area:
            counts[one.shifted(100, 100).slices] += 1
    shared, union = int((counts == 2).sum()), int((counts > 0).sum())
    assert box.intersection(other).area == shared
    assert box.iou(other) == other.iou(box) == pytest.approx(shared / union)


def test_iou_by_hand() -> None:
    box = Box(0, 0, 10, 10)
    assert box.iou(Box(0, 5, 10, 15)) == pytest.approx(1 / 3)
    assert box.iou(Box(0, 10, 10, 20)) == 0
    assert Box(1, 1, 1, 1).iou(Box(1, 1, 1, 1)) == 0


@given(LENGTHS, LENGTHS, st.data())
def test_shares_of_whole_pixels_come_back(height: int, width: int, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    box = Box(top, left, bottom, right)
    shares = np.array(box.xyxy, dtype=np.float32) / np.array([width, height, width, height], dtype=np.float32)
    assert Box.from_shares(shares.tolist(), (height, width)) == box


@given(LENGTHS, LENGTHS, st.lists(st.floats(-1, 2), min_size=4, max_size=4))
def test_a_box_of_shares_has_pixels_inside_the_image(height: int, width: int, shares: list[float]) -> None:
    box = Box.from_shares(shares, (height, width))
    assert box.height >= 1
    assert box.width >= 1
    assert box.intersection(Box.of_image((height, width))) == box


@given(images_and_boxes(), st.floats(1, 10))
def test_loose_box(case: tuple[tuple[int, int], Box], scale: float) -> None:
    size, box = case
    loose = loose_box(box, scale, size)
    assert loose.intersection(Box.of_image(size)) == loose
    assert loose.intersection(box) == box
    side = round(min(scale * max(box.height, box.width), max(size)))
    assert (loose.height, loose.width) == (min(side, size[0]), min(side, size[1]))


@given(images_and_boxes(), st.floats(1, 10))
def test_away_from_the_border_the_center_stays(case: tuple[tuple[int, int], Box], scale: float) -> None:
    (height, width), box = case
    # with this much room nothing needs to be shifted
    room = 10 * max(height, width)
    moved = box.shifted(room, room)
    loose = loose_box(moved, scale, (height + 2 * room, width + 2 * room))
    assert abs(loose.top + loose.bottom - moved.top - moved.bottom) <= 1
    assert abs(loose.left + loose.right - moved.left - moved.right) <= 1


@pytest.mark.parametrize(
    ("box", "scale", "expected"),
    [
        (Box(40, 50, 60, 70), 1.5, Box(35, 45, 65, 75)),
        (Box(40, 50, 50, 70), 1.5, Box(30, 45, 60, 75)),
        (Box(0, 0, 20, 20), 1.5, Box(0, 0, 30, 30)),
        (Box(90, 180, 100, 200), 1.5, Box(70, 170, 100, 200)),
        (Box(45, 10, 55, 190), 1.0, Box(0, 10, 100, 190)),
        (Box(45, 10, 55, 190), 2.0, Box(0, 0, 100, 200)),
    ],
)
def test_known_boxes_in_an_image_of_100_x_200(box: Box, scale: float, expected: Box) -> None:
    assert loose_box(box, scale, (100, 200)) == expected


def test_a_box_that_sticks_out_is_cut() -> None:
    assert tight_box(Box(-5, 3, 4, 99), (10, 20)) == Box(0, 3, 4, 20)


@pytest.mark.parametrize("box", [Box(0, 20, 5, 25), Box(4, 4, 4, 8), Box(-9, 0, 0, 5)])
def test_a_box_without_pixels_is_named(box: Box) -> None:
    with raises_user_error(box.sides, "10 x 20"):
        loose_box(box, 1.5, (10, 20))


@pytest.mark.parametrize("scale", [0.9, float("nan")])
def test_a_scale_below_one_is_named(scale: float) -> None:
    with raises_user_error(scale, 1, key="loose_scale"):
        loose_box(Box(0, 0, 1, 1), scale, (2, 2))
