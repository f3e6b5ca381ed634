"""Clicks and a box make a segmentation better, exactly where they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import label

from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.geometry.box import Box
from bus_monai.interaction.outline import Click, disk
from bus_monai.interaction.refine import MAX_GRID_SIDE_PX, OTHER_CLICK_SHARE, WALK_REACH, refine, walk_region
from tests.user_errors import raises_user_error

SIZE = (96, 128)
DARK = [Click(30, 34), Click(60, 92)]
RADIUS = 16


def disks(*centers: Click, radius: float = RADIUS) -> NDArray[np.bool_]:
    return np.any([disk(SIZE, center, radius) for center in centers], axis=0)


def image_of(lesions: NDArray[np.bool_]) -> NDArray[np.float64]:
    noise = np.random.default_rng(0).normal(0, 0.03, lesions.shape)
    return np.where(lesions, 0.2, 0.6) + noise


IMAGE = image_of(disks(*DARK))
NOTHING = np.zeros(SIZE)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_without_clicks_it_is_the_mask() -> None:
    probability = np.linspace(0, 1, IMAGE.size).reshape(SIZE)
    assert np.array_equal(refine(IMAGE, probability, ()), probability >= 0.5)


def test_a_negative_click_removes_one_component() -> None:
    mask = disks(*DARK, Click(80, 20), radius=9)
    left = refine(IMAGE, mask, [Click(80, 20, positive=False)])
    assert np.array_equal(left, disks(*DARK, radius=9))


def test_components_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros(SIZE, dtype=bool)
    mask[10:20, 10:20] = mask[20:22, 20:22] = True
    assert not refine(IMAGE, mask, [Click(15, 15, positive=False)]).any()


def test_a_positive_click_grows_a_lesion_that_was_missed() -> None:
    found = disks(DARK[0])
    both = refine(IMAGE, found, [DARK[1]])
    assert np.array_equal(both[:, :60], found[:, :60])
    assert dice(both, disks(*DARK)) > 0.98


def test_a_click_beside_the_middle_grows_it_too() -> None:
    assert dice(refine(IMAGE, NOTHING, [Click(34, 28)]), disks(DARK[0])) > 0.95


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_a_click_grows_the_lesion_of_a_phantom(seed: int) -> None:
    phantom = make_phantom(seed, (128, 160))
    (truth,) = phantom.masks
    row, column = np.argwhere(truth).mean(axis=0).round().astype(int)
    mask = refine(phantom.image / 255, np.zeros(truth.shape), [Click(int(row), int(column))])
    assert dice(mask, truth) > 0.7


def test_clicks_correct_an_outline_without_moving_the_rest() -> None:
    truth, mask = disks(DARK[0]), disks(DARK[0])
    mask[:, 40:60] = False
    corrected = refine(IMAGE, mask, [Click(30, 45)])
    assert dice(corrected, truth) > 0.97 > dice(mask, truth)
    mask = disks(DARK[0]) | disk(SIZE, Click(30, 54), 9)
    corrected = refine(IMAGE, mask, [DARK[0], Click(30, 56, positive=False)])
    assert dice(corrected, truth) > 0.95 > dice(mask, truth)


def test_a_negative_click_leaves_the_lesion_that_a_positive_one_confirmed() -> None:
    mask = disks(DARK[0])
    assert not refine(IMAGE, mask, [Click(32, 36, positive=False)]).any()
    kept = refine(IMAGE, mask, [DARK[0], Click(32, 36, positive=False)])
    assert kept[DARK[0].row, DARK[0].column]


def test_a_box_bounds_its_lesion_and_leaves_the_others() -> None:
    truth = disks(DARK[0])
    mask = disks(DARK[0], radius=22) | disk(SIZE, DARK[1], 9)
    boxed = refine(IMAGE, mask, (), Box.from_mask(truth))
    inside = np.zeros(SIZE, dtype=bool)
    inside[Box.from_mask(truth).slices] = True
    assert np.array_equal(boxed & ~inside, disk(SIZE, DARK[1], 9))
    assert dice(boxed & inside, truth) > 0.97


def test_a_click_corrects_what_a_box_gave() -> None:
    box = Box.from_mask(disks(DARK[0]))
    assert not refine(IMAGE, NOTHING, [Click(30, 34, positive=False)], box).any()


CLICKS = st.lists(st.builds(Click, st.integers(0, SIZE[0] - 1), st.integers(0, SIZE[1] - 1), st.booleans()), max_size=6)


@settings(max_examples=25, deadline=None)
@given(CLICKS, st.sampled_from([NOTHING, disks(*DARK), disks(DARK[0], radius=5), NOTHING + 1]))
def test_clicks_are_honored_and_the_mask_is_always_the_same(clicks: list[Click], given_mask: NDArray) -> None:
    mask = refine(IMAGE, given_mask, clicks)
    last = {(click.row, click.column): click.positive for click in clicks}
    assert {place: bool(mask[place]) for place in last} == last
    assert np.array_equal(mask, refine(IMAGE, given_mask, clicks))


def test_an_image_without_contrast_is_no_error() -> None:
    flat = np.full(SIZE, 0.5)
    mask = refine(flat, NOTHING, [Click(40, 60), Click(40, 90, positive=False), Click(95, 127)])
    assert label(mask)[1] == 2


@pytest.mark.parametrize(
    ("click", "row", "column"),
    [
        (Click(96, 3), 96, 3),
        (Click(-1, 3), -1, 3),
        (Click(0, 128), 0, 128),
    ],
)
def test_a_click_outside_is_an_error(click: Click, row: int, column: int) -> None:
    with raises_user_error(2, f"row {row}", f"column {column}", "96 x 128"):
        refine(IMAGE, NOTHING, [DARK[0], click])


def test_a_box_without_area_is_an_error() -> None:
    with raises_user_error((10, 20, 10, 30), "left", "top", "right", "bottom"):
        refine(IMAGE, NOTHING, (), Box(20, 10, 30, 10))


def test_a_box_outside_is_an_error() -> None:
    with raises_user_error((10, 20, 129, 30), "96 x 128"):
        refine(IMAGE, NOTHING, (), Box(20, 10, 30, 129))


def test_a_mask_of_another_size_is_an_error() -> None:
    with raises_user_error("96 x 128", "90 x 128"):
        refine(IMAGE, NOTHING[:90], ())


WALK_REGION_SIZE = (60, 80)
WALK_REGION_NOTHING = np.zeros(WALK_REGION_SIZE, dtype=bool)
CLICK = Click(30, 40)
EDGE = np.where(np.arange(WALK_REGION_SIZE[1]) < 45, 0.2, 0.6) * np.ones(WALK_REGION_SIZE)


def test_it_ends_at_an_edge_and_at_its_reach() -> None:
    region = walk_region(EDGE, WALK_REGION_NOTHING, CLICK, (), 6.0)
    # the edge lies between the columns 44 and 45, blurred by a pixel
    assert int(region[30].nonzero()[0].max()) in (44, 45)
    assert not region[~disk(WALK_REGION_SIZE, CLICK, WALK_REACH * 6)].any()
    assert region[disk(WALK_REGION_SIZE, CLICK, 4)].all()


def test_a_click_of_the_other_kind_keeps_what_is_round_it() -> None:
    other = Click(30, 32, positive=False)
    region = walk_region(EDGE, WALK_REGION_NOTHING, CLICK, [other], 6.0)
    assert not region[disk(WALK_REGION_SIZE, other, OTHER_CLICK_SHARE * 8)].any()
    assert region[CLICK.row, CLICK.column]


def test_where_all_around_is_of_its_kind_the_reach_is_filled() -> None:
    mask = ~disk(WALK_REGION_SIZE, CLICK, 4)
    assert np.array_equal(walk_region(EDGE, mask, CLICK, (), 4.0), disk(WALK_REGION_SIZE, CLICK, WALK_REACH * 4))


def test_a_large_region_is_solved_on_fewer_pixels_with_the_same_outline() -> None:
    size = (400, 400)
    click = Click(200, 200)
    truth = disk(size, click, 90)
    region = walk_region(np.where(truth, 0.2, 0.6), np.zeros(size, dtype=bool), click, (), 80.0)
    assert 2 * (region & truth).sum() / (region.sum() + truth.sum()) > 0.98


@pytest.mark.parametrize("step", range(2, 8))
def test_a_region_that_is_solved_on_fewer_pixels_lies_where_it_is(step: int) -> None:
    random = np.random.default_rng(0)
    radius = (step * MAX_GRID_SIDE_PX - 20) / (2 * WALK_REACH)
    side = 5 * math.ceil(radius)
    shifts = []
    for _ in range(4):
        row, column = side / 2 + random.uniform(-4, 4, 2)
        rows, columns = np.ogrid[:side, :side]
        truth = np.hypot(rows - row, columns - column) <= radius
        image = np.where(truth, 0.1, 0.7) + random.normal(0, 0.02, truth.shape)
        region = walk_region(image, np.zeros_like(truth), Click(round(row), round(column)), (), radius)
        shifts.append(np.argwhere(region).mean(axis=0) - np.argwhere(truth).mean(axis=0))
    assert np.mean(shifts, axis=0) == pytest.approx([0, 0], abs=0.4)
