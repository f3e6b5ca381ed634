"""Groups against the definition: Pearson's correlation of the grey 32x32 versions, and friends of friends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bus_monai.data.near_duplicates import group_near_duplicates
from bus_monai.errors import UserError


def _save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).save(path)
    return path


def _partition(names: list[str]) -> set[frozenset[int]]:
    return {frozenset(i for i, name in enumerate(names) if name == one) for one in names}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), spread=st.floats(1, 40))
def test_pairs_are_those_of_pearsons_correlation(tmp_path: Path, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    base = rng.uniform(60, 190, (48, 64))
    values = [base + rng.normal(0, spread * i / 4, base.shape) for i in range(5)]
    values += [rng.uniform(0, 255, (40, 40)) for _ in range(3)]
    paths = [_save(tmp_path / f"{i}.png", value) for i, value in enumerate(values)]
    small = [np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR)).ravel() for path in paths]
    linked = np.corrcoef(np.stack(small)) >= 0.98
    reachable = np.linalg.matrix_power(linked.astype(np.int64), len(paths)) > 0
    expected = {frozenset(np.flatnonzero(row).tolist()) for row in reachable}
    assert _partition(group_near_duplicates(paths)) == expected


def test_brightness_contrast_and_size_do_not_hide_a_duplicate(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(np.random.default_rng(0).uniform(0, 255, (9, 9))).resize((90, 70)))
    paths = [_save(tmp_path / "a.png", smooth), _save(tmp_path / "b.png", 0.5 * smooth + 60)]
    Image.open(paths[0]).resize((180, 140)).convert("RGB").save(tmp_path / "c.png")
    assert len(set(group_near_duplicates([*paths, tmp_path / "c.png"]))) == 1


def test_constant_images_correlate_with_nothing_but_their_copies(tmp_path: Path) -> None:
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
    with pytest.raises(UserError, match=r"known\.csv' lacks the columns 'group' and 'image'"):
        group_near_duplicates([path], tmp_path / "known.csv")
    (tmp_path / "b.png").write_bytes(path.read_bytes()[:60])
    (tmp_path / "c.png").write_bytes(path.read_bytes()[:50])
    assert group_near_duplicates([path, tmp_path / "b.png", tmp_path / "c.png"]) == ["a", "b", "c"]
