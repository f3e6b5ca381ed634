"""Planted copies are found, and what is different stays apart."""

from __future__ import annotations

import runpy
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bus_monai.data.duplicates.pairs import find_pairs, join_pairs
from bus_monai.data.duplicates.square import content_box, equalise, to_square
from bus_monai.data.phantoms import make_phantom

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "audit.py"


@pytest.mark.parametrize("source", ["phantoms", "busi"])
def test_planted_copies(source: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    benchmark = runpy.run_path(str(BENCHMARK))
    if source == "phantoms":
        images = [Image.fromarray(make_phantom(seed, (160, 160)).image) for seed in range(60)]
    else:
        folder = request.getfixturevalue("shared") / "data" / "busi" / "normal"
        images = [Image.open(path) for path in sorted(folder.glob("normal (?).png"))]
    origin = benchmark["plant"](images, len(images) // 2, tmp_path)
    squares = [to_square(np.asarray(Image.open(tmp_path / name), dtype=np.float32) / 255) for name in origin]
    names = list(origin)
    pairs = [(pair.first, pair.second) for pair in find_pairs(squares, names) if pair.copies]
    groups = [[names[i] for i in group] for group in join_pairs(pairs, len(names))]
    recall, precision, wrong = benchmark["score"](groups, origin)
    assert recall >= 0.96, wrong
    assert precision == 1, wrong


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_groups_are_the_closure_of_the_pairs(pairs: list[tuple[int, int]]) -> None:
    home = {i: {i} for i in range(10)}
    for one, other in pairs:
        merged = home[one] | home[other]
        for i in merged:
            home[i] = merged
    expected = {pair for group in home.values() for pair in combinations(sorted(group), 2)}
    groups = join_pairs(pairs, 10)
    assert {pair for group in groups for pair in combinations(group, 2)} == expected
    assert groups == sorted(groups)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 2), st.integers(0, 1000))
def test_ranks_do_not_heed_gamma(gamma: float, seed: int) -> None:
    values = np.random.default_rng(seed).random(50).astype(np.float32)
    np.testing.assert_array_equal(equalise(values), equalise(values.astype(np.float64) ** gamma))
    assert np.linalg.norm(equalise(values)) == pytest.approx(1)


def test_black_margins_are_cut_off() -> None:
    pixels = np.zeros((60, 80), np.float32)
    assert content_box(pixels) == (0, 60, 0, 80)
    pixels[10:50, 5:70] = 0.5
    assert content_box(pixels) == (10, 50, 5, 70)
    assert to_square(pixels).min() == 0.5


def test_constant_images_are_no_copies() -> None:
    squares = [np.full((128, 128), value, np.float32) for value in (0.2, 0.5)]
    assert find_pairs(squares, ["a", "b"]) == []


def test_nothing_to_compare() -> None:
    assert find_pairs([], []) == []
    assert join_pairs([], 0) == []
