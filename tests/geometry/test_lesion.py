"""What is too small and what is too much, for any mask."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import asdict
from math import cos, hypot, pi, radians, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ellipe

from bus_monai.geometry.box import Box
from bus_monai.geometry.lesion import (
    MAX_GAP_FRAMES,
    MAX_LESIONS,
    Lesion,
    LesionTracks,
    find_findings,
    label_components,
    measure_lesions,
    smallest_area,
)


@settings(deadline=None, max_examples=50)
@given(arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24))), st.integers(0, 6))
def test_the_largest_are_kept_and_the_rest_is_counted(mask: np.ndarray, least: int) -> None:
    found = find_findings(mask.astype(np.float32), 0.5, spacing_mm=(0.5, 2.0), min_area=least)
    sizes = sorted(np.bincount(ndimage.label(mask, np.ones((3, 3)))[0].ravel())[1:].tolist(), reverse=True)
    large = [size for size in sizes if size >= least]
    assert [lesion.area for lesion in found.lesions] == large[:MAX_LESIONS]
    assert (found.specks, found.surplus) == (len(sizes) - len(large), len(large[MAX_LESIONS:]))
    assert np.bincount(found.labels.ravel())[1:].tolist() == large[:MAX_LESIONS]
    assert not (found.labels.astype(bool) & ~mask).any()


def test_the_default_is_a_disk_of_two_millimeters() -> None:
    assert smallest_area(600, (0.1, 0.1), None) == pytest.approx(pi)
    assert smallest_area(600, None, None) == pytest.approx(pi * 100)  # 20 pixels across
    assert smallest_area(600, None, 7) == smallest_area(600, (0.1, 0.1), 7) == 7


LENGTHS = ("long_axis", "short_axis", "perimeter")


def ellipse(
    long: float, short: float, degrees: float, spacing: tuple[float, float] = (1, 1), side: int = 161
) -> NDArray[np.bool_]:
    """An ellipse of these half axes in mm; above 0 degrees its right end lies deeper."""
    y, x = np.mgrid[:side, :side] - side // 2
    y, x = y * spacing[0], x * spacing[1]
    along = x * cos(radians(degrees)) + y * sin(radians(degrees))
    across = y * cos(radians(degrees)) - x * sin(radians(degrees))
    return (along / long) ** 2 + (across / short) ** 2 <= 1


def find_lesions(
    mask: NDArray[np.bool_],
    spacing: tuple[float, float] | None = None,
    probability: NDArray[np.floating] | None = None,
) -> tuple[NDArray[np.int32], list[Lesion]]:
    labels, _ = label_components(mask)
    return labels, measure_lesions(labels, spacing_mm=spacing, probability=probability)


def only(mask: NDArray[np.bool_], spacing: tuple[float, float] | None = None) -> Lesion:
    (lesion,) = find_lesions(mask, spacing)[1]
    return lesion


def test_no_lesion() -> None:
    labels, lesions = find_lesions(np.zeros((5, 6), bool))
    assert lesions == []
    assert labels.dtype == np.int32
    assert labels.shape == (5, 6)
    assert not labels.any()


def test_components_touch_at_corners_and_the_largest_comes_first() -> None:
    mask = np.zeros((8, 9), bool)
    mask[0, 0] = True
    mask[3, 3] = mask[4, 4] = mask[5, 3] = True
    mask[7, 7:9] = True
    probability = np.where(mask, 0.5, 0.1)
    probability[4, 4] = 0.8
    labels, lesions = find_lesions(mask, probability=probability)
    assert [x.area for x in lesions] == [3, 2, 1]
    assert [x.number for x in lesions] == [1, 2, 3]
    assert (labels[4, 4], labels[7, 7], labels[0, 0]) == (1, 2, 3)
    np.testing.assert_array_equal(labels > 0, mask)
    first = lesions[0]
    assert (first.row, first.column) == (4, pytest.approx(10 / 3))
    assert first.box == Box(3, 3, 6, 5)
    assert first.probability == pytest.approx(0.6)
    assert first.unit == "px"
    assert lesions[1].depth_width_ratio == 0.5
    assert find_lesions(mask)[1][0].probability is None


@pytest.mark.parametrize(("rows", "columns", "spacing"), [(20, 40, (0.2, 0.1)), (40, 30, (0.1, 0.3)), (50, 50, (1, 1))])
def test_a_rectangle_has_its_own_measures(rows: int, columns: int, spacing: tuple[float, float]) -> None:
    mask = np.zeros((64, 64), bool)
    mask[3 : 3 + rows, 5 : 5 + columns] = True
    lesion = only(mask, spacing)
    height, width = rows * spacing[0], columns * spacing[1]
    assert lesion.unit == "mm"
    assert lesion.area == pytest.approx(height * width)
    # the corners of its contour are cut by half a pixel
    assert lesion.long_axis == pytest.approx(hypot(height, width), rel=0.03)
    assert lesion.short_axis == pytest.approx(2 * height * width / hypot(height, width), rel=0.05)
    assert lesion.perimeter == pytest.approx(2 * (height + width), rel=0.02)
    assert lesion.circularity == pytest.approx(pi * height * width / (height + width) ** 2, rel=0.04)
    assert lesion.depth_width_ratio == pytest.approx(height / width)


@pytest.mark.parametrize("degrees", [-70, -45, -12, 0, 30, 55, 90])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.8, 1.2), (1.3, 0.7)])
def test_an_ellipse_has_its_own_measures(degrees: float, spacing: tuple[float, float]) -> None:
    lesion = only(ellipse(40, 22, degrees, spacing), spacing)
    assert lesion.area == pytest.approx(pi * 40 * 22, rel=0.01)
    assert lesion.long_axis == pytest.approx(80, rel=0.02)
    assert lesion.short_axis == pytest.approx(44, rel=0.03)
    assert lesion.perimeter == pytest.approx(4 * 40 * ellipe(1 - (22 / 40) ** 2), rel=0.02)
    assert lesion.orientation_deg % 180 == pytest.approx(degrees % 180, abs=7)
    assert -90 < lesion.orientation_deg <= 90


def test_a_disk_is_round_and_a_hole_changes_its_area_alone() -> None:
    disk = ellipse(30, 30, 0)
    holed = disk & ~ellipse(9, 9, 0)
    whole, ring = only(disk), only(holed)
    assert whole.circularity == pytest.approx(1, abs=0.03)
    assert whole.depth_width_ratio == 1
    assert (ring.perimeter, ring.long_axis) == (whole.perimeter, whole.long_axis)
    assert whole.area - ring.area == np.count_nonzero(ellipse(9, 9, 0))


@given(st.integers(1, 6), st.integers(1, 6))
def test_the_smallest_lesions_are_measured(rows: int, columns: int) -> None:
    lesion = only(np.ones((rows, columns), bool))
    assert lesion.area == rows * columns
    assert 0 < lesion.short_axis <= lesion.long_axis * (1 + 1e-9)
    assert lesion.long_axis <= hypot(rows, columns)
    assert 0 < lesion.circularity <= 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_lengths_scale_with_the_spacing(seed: int, scale: float) -> None:
    mask = np.random.default_rng(seed).random((12, 12)) < 0.4
    pixels, scaled = find_lesions(mask)[1], find_lesions(mask, (scale, scale))[1]
    for one, other in zip(pixels, scaled, strict=True):
        for name in LENGTHS:
            assert getattr(other, name) == pytest.approx(scale * getattr(one, name))
        assert other.area == pytest.approx(scale**2 * one.area)
        for name in ("circularity", "depth_width_ratio", "row", "column"):
            assert getattr(other, name) == pytest.approx(getattr(one, name))


@settings(max_examples=30, deadline=None)
@given(st.floats(-90, 90), st.floats(10, 60), st.floats(0.4, 0.8))
def test_measures_do_not_turn_with_the_lesion(degrees: float, long: float, flat: float) -> None:
    turned, lying = only(ellipse(long, long * flat, degrees)), only(ellipse(long, long * flat, 0))
    for name in (*LENGTHS, "area"):
        assert getattr(turned, name) == pytest.approx(getattr(lying, name), rel=0.02 + 1.5 / (long * flat)), name


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_measures_move_with_the_lesion(seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 7)) < 0.4
    moved = [asdict(x) for x in find_lesions(np.pad(mask, ((4, 1), (3, 2))))[1]]
    for lesion, other in zip(find_lesions(mask)[1], moved, strict=True):
        expected = asdict(lesion) | {"row": lesion.row + 4, "column": lesion.column + 3}
        del expected["box"]
        assert Box(**other.pop("box")) == lesion.box.shifted(4, 3)
        assert other == pytest.approx(expected)


def frame(**boxes: tuple[int, int]) -> NDArray[np.int32]:
    """A frame whose components ``n1``, ``n2`` span these columns."""
    labels = np.zeros((4, 40), np.int32)
    for name, (start, stop) in boxes.items():
        labels[:, start:stop] = int(name[1:])
    return labels


def track_lesions(frames: Iterable[NDArray[np.int32]]) -> list[dict[int, int]]:
    tracks = LesionTracks()
    for labels in frames:
        tracks.add(labels)
    return tracks.lesions


def test_a_moving_lesion_is_one_though_its_number_changes() -> None:
    frames = [frame(n1=(0, 10), n2=(30, 34)), frame(n2=(3, 12), n1=(29, 39)), frame(n1=(8, 14))]
    assert track_lesions(frames) == [{0: 1, 1: 2, 2: 1}, {0: 2, 1: 1}]


def test_the_greater_overlap_wins_and_the_other_is_new() -> None:
    frames = [frame(n1=(0, 12)), frame(n1=(0, 3), n2=(4, 12))]
    assert track_lesions(frames) == [{0: 1, 1: 2}, {1: 1}]


def test_a_merged_lesion_continues_one_track() -> None:
    assert track_lesions([frame(n1=(0, 4), n2=(6, 20)), frame(n1=(0, 20))]) == [{0: 1}, {0: 2, 1: 1}]


@pytest.mark.parametrize("missing", range(MAX_GAP_FRAMES + 2))
def test_a_short_gap_is_bridged(missing: int) -> None:
    tracks = track_lesions([frame(n1=(0, 9)), *[frame()] * missing, frame(n1=(1, 9))])
    assert tracks == ([{0: 1, missing + 1: 1}] if missing <= MAX_GAP_FRAMES else [{0: 1}, {missing + 1: 1}])


def test_nothing_overlaps() -> None:
    assert track_lesions([frame(n1=(0, 9)), frame(n1=(9, 12))]) == [{0: 1}, {1: 1}]
    assert track_lesions([frame(), frame()]) == track_lesions([]) == []


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.6))
def test_every_component_is_in_exactly_one_track(seed: int, density: float) -> None:
    masks = np.random.default_rng(seed).random((6, 8, 8)) < density
    labels = [label_components(mask)[0] for mask in masks]
    tracks = track_lesions(labels)
    members = [(index, number) for track in tracks for index, number in track.items()]
    assert sorted(members) == [(index, n) for index, x in enumerate(labels) for n in range(1, x.max() + 1)]
    for track in tracks:
        seen = sorted(track)
        assert all(later - earlier <= MAX_GAP_FRAMES + 1 for earlier, later in itertools.pairwise(seen))
        for earlier, later in itertools.pairwise(seen):
            assert ((labels[earlier] == track[earlier]) & (labels[later] == track[later])).any()


def test_pixels_that_are_not_square_do_not_flatten_a_lesion() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[10:20, 10:30] = 1
    (lesion,) = measure_lesions(labels, aspect=2.0)
    assert lesion.depth_width_ratio == pytest.approx(1.0)
    assert (lesion.unit, lesion.area) == ("px", pytest.approx(200))
