"""Lesions of a cine, followed by their overlap."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bus_monai.lesion import label_components
from bus_monai.lesion_tracks import GAP, track_lesions


def frame(**boxes: tuple[int, int]) -> NDArray[np.int32]:
    """A frame whose components ``n1``, ``n2`` span these columns."""
    labels = np.zeros((4, 40), np.int32)
    for name, (start, stop) in boxes.items():
        labels[:, start:stop] = int(name[1:])
    return labels


def test_a_moving_lesion_is_one_though_its_number_changes() -> None:
    frames = [frame(n1=(0, 10), n2=(30, 34)), frame(n2=(3, 12), n1=(29, 39)), frame(n1=(8, 14))]
    assert track_lesions(frames) == [{0: 1, 1: 2, 2: 1}, {0: 2, 1: 1}]


def test_the_greater_overlap_wins_and_the_other_is_new() -> None:
    frames = [frame(n1=(0, 12)), frame(n1=(0, 3), n2=(4, 12))]
    assert track_lesions(frames) == [{0: 1, 1: 2}, {1: 1}]


def test_a_merged_lesion_continues_one_track() -> None:
    assert track_lesions([frame(n1=(0, 4), n2=(6, 20)), frame(n1=(0, 20))]) == [{0: 1}, {0: 2, 1: 1}]


@pytest.mark.parametrize("missing", range(GAP + 2))
def test_a_short_gap_is_bridged(missing: int) -> None:
    tracks = track_lesions([frame(n1=(0, 9)), *[frame()] * missing, frame(n1=(1, 9))])
    assert tracks == ([{0: 1, missing + 1: 1}] if missing <= GAP else [{0: 1}, {missing + 1: 1}])


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
        assert all(later - earlier <= GAP + 1 for earlier, later in itertools.pairwise(seen))
        for earlier, later in itertools.pairwise(seen):
            assert ((labels[earlier] == track[earlier]) & (labels[later] == track[later])).any()
