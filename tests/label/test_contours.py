from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bus_monai.geometry.lesion import CONTOUR_TOLERANCE_PX
from bus_monai.label.contours import fill_contours, interpolate_contours, keep_numbers, label_contours
from tests.user_errors import raises_user_error


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, (2, 7, 8), elements=st.integers(0, 2)))
def test_filled_contours_are_the_labels(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(fill_contours(label_contours(list(labels)), labels.shape), labels)


def test_contours_say_lesion_and_frame() -> None:
    labels = np.zeros((8, 9), np.uint8)
    labels[1:4, 2:6] = 1
    labels[5:8, 5:8] = 2
    labels[6, 6] = 0
    contours = label_contours([np.zeros((8, 9), np.uint8), labels])
    assert [(contour["label"], contour["frame"]) for contour in contours] == [(1, 1), (2, 1), (2, 1)]
    points = np.array(contours[0]["points"])
    assert (points.min(axis=0).tolist(), points.max(axis=0).tolist()) == ([1.5, 0.5], [5.5, 3.5])


def test_straightened_outlines_have_few_corners_and_lose_no_lesion() -> None:
    rows, columns = np.ogrid[:100, :120]
    labels = (((rows - 50) / 30) ** 2 + ((columns - 60) / 40) ** 2 <= 1).astype(np.uint8)
    labels[3, 3] = 2
    contours = label_contours([labels], tolerance=CONTOUR_TOLERANCE_PX)
    assert [len(contour["points"]) for contour in contours] == [16, 4]
    filled = fill_contours(contours, (1, *labels.shape))[0]
    assert filled[3, 3] == 2
    assert 2 * ((filled == 1) & (labels == 1)).sum() / ((filled == 1).sum() + (labels == 1).sum()) > 0.98


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"points": None}, ["three"]),
        ({"points": [[0, 0], [1, 1]]}, ["three"]),
        ({"points": [[0, 0], [1]]}, ["label", "frame", "points"]),
        ({"label": "x"}, ["label", "frame", "points"]),
        ({"label": 256}, ["lesion 256", "frame 0", 1, 255]),
        ({"frame": 2}, ["lesion 1", "frame 2", 0, 1]),
        ({"points": [[0, 0], [0, 1], [float("nan"), 1]]}, ["three"]),
        ({"points": [[0, 0], [0, 1], [1e300, 1]]}, ["three"]),
    ],
)
def test_what_is_no_contour_is_refused(change: dict[str, Any], named: list[object]) -> None:
    good = {"label": 1, "frame": 0, "points": [[0, 0], [0, 3], [3, 0]]}
    with raises_user_error("Contour 2", *named):
        fill_contours([good, good | change], (2, 5, 6))


def test_lesions_grow_shrink_split_and_begin() -> None:
    before = np.array([[2, 2, 2, 0, 0, 0, 0, 3]], np.uint8)
    mask = np.array([[1, 0, 1, 1, 0, 1, 0, 0]], bool)
    assert keep_numbers(mask, before).tolist() == [[2, 0, 2, 2, 0, 1, 0, 0]]


def test_new_lesions_begin_with_the_largest() -> None:
    mask = np.array([[1, 0, 1, 1, 0, 1, 1, 1]], bool)
    assert keep_numbers(mask, np.zeros((1, 8), np.uint8)).tolist() == [[3, 0, 2, 2, 0, 1, 1, 1]]


@settings(max_examples=50, deadline=None)
@given(arrays(bool, (5, 6)), arrays(np.uint8, (5, 6), elements=st.integers(0, 3)))
def test_the_mask_is_labeled_and_what_stays_keeps_its_number(mask: np.ndarray, before: np.ndarray) -> None:
    after = keep_numbers(mask, before)
    np.testing.assert_array_equal(after > 0, mask)
    stays = mask & (before > 0)
    np.testing.assert_array_equal(after[stays], before[stays])
    np.testing.assert_array_equal(keep_numbers(mask, after), after)


def test_polygons_beyond_the_image_are_cut() -> None:
    wide = {"label": 1, "frame": 0, "points": [[-50, -50], [-50, 2], [50, 2], [50, -50]]}
    outside = {"label": 2, "frame": 0, "points": [[50, 50], [60, 50], [60, 60]]}
    labels = fill_contours([wide, outside], (1, 5, 6))
    assert labels[0].tolist() == [[1] * 6] * 3 + [[0] * 6] * 2


def test_a_lesion_between_two_frames_is_between_in_place_and_size() -> None:
    def disk(frame: int, column: float, radius: float) -> dict[str, Any]:
        turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        points = np.stack([column + radius * np.cos(turns), 50 + radius * np.sin(turns)], axis=1)
        return {"label": 2, "frame": frame, "points": points.tolist()}

    ends = [disk(1, 30, 8), disk(5, 70, 16)]
    # of a lesion in one frame alone, and in neighbors, nothing is between
    alone = [{**disk(3, 20, 5), "label": 1}, {**disk(4, 20, 5), "label": 1}]
    found = interpolate_contours([*ends, *alone], 7)
    assert [(contour["label"], contour["frame"]) for contour in found] == [(2, 2), (2, 3), (2, 4)]
    for frame, column, radius in ((2, 40, 10), (3, 50, 12), (4, 60, 14)):
        made = fill_contours([one for one in found if one["frame"] == frame], (7, 100, 120))[frame] > 0
        wanted = fill_contours([disk(frame, column, radius)], (7, 100, 120))[frame] > 0
        assert 2 * (made & wanted).sum() / (made.sum() + wanted.sum()) > 0.95


SIDES = st.integers(1, 8)
STEPS = st.integers(-2, 2)


@settings(max_examples=50)
@given(st.tuples(SIDES, SIDES).flatmap(lambda sides: arrays(np.bool_, sides)), st.integers(3, 5), STEPS, STEPS)
@example(np.ones((10, 10), bool), 3, 0, 0)
@example(np.ones((10, 11), bool), 3, 0, 0)
@example(np.ones((21, 40), bool), 3, 0, 0)
@example(np.ones((11, 11), bool), 3, 0, 0)
def test_a_lesion_that_moves_by_whole_pixels_stays_as_it_is(
    shape: np.ndarray, frames: int, down: int, right: int
) -> None:
    labels = np.zeros((frames, 45, 60), np.uint8)
    for frame, image in enumerate(labels):
        top, left = 10 + down * frame, 10 + right * frame
        image[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    ends = [one for one in label_contours(list(labels)) if one["frame"] in (0, frames - 1)]
    np.testing.assert_array_equal(fill_contours([*ends, *interpolate_contours(ends, frames)], labels.shape), labels)


@settings(max_examples=50)
@given(st.tuples(SIDES, SIDES).flatmap(lambda sides: arrays(np.bool_, sides)), st.integers(-9, 9), st.integers(-9, 9))
@example(np.ones((10, 10), bool), 1, 1)
@example(np.ones((1, 4), bool), 3, -1)
def test_a_lesion_that_moves_by_parts_of_a_pixel_keeps_its_shape(shape: np.ndarray, down: int, right: int) -> None:
    frames = 5
    labels = np.zeros((frames, 45, 60), np.uint8)
    for frame, top, left in ((0, 15, 20), (frames - 1, 15 + down, 20 + right)):
        labels[frame, top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    ends = label_contours(list(labels))
    made = fill_contours([*ends, *interpolate_contours(ends, frames)], labels.shape)
    rows, columns = np.nonzero(shape)
    for frame in range(1, frames - 1) if shape.any() else ():
        found = np.argwhere(made[frame])
        np.testing.assert_array_equal(found - found.min(axis=0), np.argwhere(shape) - [rows.min(), columns.min()])
        way = found.min(axis=0) - [15 + rows.min(), 20 + columns.min()]
        assert (abs(way - np.array([down, right]) * frame / (frames - 1)) <= 0.5).all()


@pytest.mark.parametrize("contours", [None, 5, "x", {"label": 1}, [5], [None]])
def test_contours_that_are_no_list_are_refused(contours: Any) -> None:
    with raises_user_error("send"):
        fill_contours(contours, (1, 5, 6))


def test_many_lesions_take_no_more_memory_than_one() -> None:
    whole = [[0, 0], [1999, 0], [1999, 1999], [0, 1999]]
    tracemalloc.start()
    labels = fill_contours([{"label": n, "frame": 0, "points": whole} for n in (1, 2, 3, 4)], (1, 2000, 2000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (labels == 4).all()
    assert peak < 8 * labels.nbytes
