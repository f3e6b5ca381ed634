"""Which images a split keeps together."""

from __future__ import annotations

import runpy
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from bus_monai.data import near_duplicates
from bus_monai.data.near_duplicates import find_pairs, group_near_duplicates, join_pairs
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.data.registration import to_square
from tests.user_errors import raises_user_error


def _save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).save(path)
    return path


def _phantom(path: Path, seed: int) -> Path:
    return _save(path, make_phantom(seed, (128, 160)).image)


def _partition(names: list[str]) -> set[frozenset[int]]:
    return {frozenset(i for i, name in enumerate(names) if name == one) for one in names}


def test_copies_are_grouped_whatever_was_done_to_them(tmp_path: Path) -> None:
    paths = [_phantom(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    image = Image.open(paths[1])
    ImageOps.mirror(image).save(tmp_path / "flipped.png")
    image.resize((320, 256)).convert("RGB").point([round(255 * (v / 255) ** 0.7) for v in range(256)] * 3).save(
        tmp_path / "gamma.jpg", quality=60
    )
    names = group_near_duplicates([*paths, tmp_path / "flipped.png", tmp_path / "gamma.jpg"])
    assert _partition(names) == {frozenset({0}), frozenset({1, 3, 4}), frozenset({2})}
    assert names == ["0", "1", "2", "1", "1"]


def test_a_group_does_not_depend_on_the_order_but_is_named_after_its_first(tmp_path: Path) -> None:
    paths = [_phantom(tmp_path / f"case ({seed}).png", seed) for seed in range(4)]
    Image.open(paths[0]).resize((200, 160)).save(tmp_path / "again.png")
    paths.append(tmp_path / "again.png")
    assert group_near_duplicates(paths) == ["case_0", "case_1", "case_2", "case_3", "case_0"]
    assert group_near_duplicates(paths[::-1]) == ["again", "case_3", "case_2", "case_1", "again"]


def test_constant_images_resemble_nothing_but_their_copies(tmp_path: Path) -> None:
    paths = [_save(tmp_path / f"{i}.png", np.full((20, 20), level)) for i, level in enumerate((0, 90, 90, 200))]
    assert _partition(group_near_duplicates(paths)) == {frozenset({0}), frozenset({1, 2}), frozenset({3})}


def test_known_pairs_join_groups_and_rows_of_absent_images_are_passed_over(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [_save(tmp_path / f"{i}.png", rng.uniform(0, 255, (40, 40))) for i in range(4)]
    table = tmp_path / "known.csv"
    table.write_text("group,image,note\n7,0.png,x\n7,gone.png,x\n7,2.png,x\n8,2.png,x\n8,3.png,x\n")
    assert _partition(group_near_duplicates(paths, table)) == {frozenset({0, 2, 3}), frozenset({1})}
    assert len(set(group_near_duplicates(paths, tmp_path / "no.csv"))) == 4


def test_another_table_is_named_and_a_broken_image_resembles_none(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", np.eye(40) * 255)
    (tmp_path / "known.csv").write_text("a;b\n1;2\n")
    with raises_user_error(path=tmp_path / "known.csv", key="group"):
        group_near_duplicates([path], tmp_path / "known.csv")
    (tmp_path / "b.png").write_bytes(path.read_bytes()[:60])
    (tmp_path / "c.png").write_bytes(path.read_bytes()[:50])
    assert group_near_duplicates([path, tmp_path / "b.png", tmp_path / "c.png"]) == ["a", "b", "c"]
    assert group_near_duplicates([]) == []


def test_what_was_found_is_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(near_duplicates, "MIN_IMAGES_TO_CACHE", 3)
    paths = [_phantom(tmp_path / f"{seed}.png", seed) for seed in range(2)]
    paths.append(tmp_path / "copy.png")
    ImageOps.flip(Image.open(paths[0])).save(paths[2])
    groups = group_near_duplicates(paths)
    assert groups == ["0", "1", "0"]
    compare = near_duplicates._compare
    monkeypatch.setattr(near_duplicates, "_compare", None)
    assert group_near_duplicates(paths) == groups
    assert group_near_duplicates([tmp_path / "1.png", paths[2], paths[0]]) == ["1", "copy", "copy"]

    monkeypatch.setattr(near_duplicates, "_compare", compare)
    _phantom(paths[2], 1000)
    assert group_near_duplicates(paths) == ["0", "1", "copy"]


def test_a_cache_that_is_broken_or_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "MIN_IMAGES_TO_CACHE", 2)
    paths = [_phantom(tmp_path / f"{seed}.png", seed) for seed in range(2)]
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path / "cache"))
    group_near_duplicates(paths)
    (file,) = (tmp_path / "cache").rglob("*.json")
    file.write_text("[[")
    assert group_near_duplicates(paths) == ["0", "1"]
    assert file.read_text() == "[]"
    monkeypatch.setenv("BUS_MONAI_CACHE", str(paths[0]))
    assert group_near_duplicates(paths) == ["0", "1"]


BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "audit.py"


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


def test_constant_images_are_no_copies() -> None:
    squares = [np.full((128, 128), value, np.float32) for value in (0.2, 0.5)]
    assert find_pairs(squares, ["a", "b"]) == []


def test_nothing_to_compare() -> None:
    assert find_pairs([], []) == []
    assert join_pairs([], 0) == []
