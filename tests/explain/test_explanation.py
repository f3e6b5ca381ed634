"""What is there to explain: images with and without known lesions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bus_monai.data.dataset import load_dataset
from bus_monai.explain.explain_job import explain_items
from bus_monai.explain.explanation import energy_inside


@pytest.fixture
def busi(small_phantoms: Path, tmp_path: Path) -> Path:
    """Phantoms in BUSI's layout."""
    content = json.loads((small_phantoms / "datalist.json").read_text())
    folder = tmp_path / "BUSI"
    for diagnosis in ("benign", "malignant", "normal"):
        (folder / diagnosis).mkdir(parents=True)
    for number, item in enumerate((i for part in ("training", "validation", "test") for i in content[part]), start=1):
        stem = folder / item["diagnosis"] / f"{item['diagnosis']} ({number})"
        shutil.copy(small_phantoms / item["image"], f"{stem}.png")
        for extra, mask in enumerate(item["masks"]):
            shutil.copy(small_phantoms / mask, f"{stem}_mask{f'_{extra}' if extra else ''}.png")
    return folder


@pytest.mark.parametrize("seed", [0, 1])
def test_a_published_set_is_split_as_for_training(busi: Path, seed: int) -> None:
    settings = {"protocol": "rdau", "seed": seed}
    items = explain_items(busi, split="test", settings=settings)
    cases = load_dataset(busi, protocol="rdau", seed=seed).test
    assert [(item.name, item.source, item.masks) for item in items] == [(c.id, c.image, c.masks) for c in cases]
    assert 0 < len(items) < 24
    assert explain_items(busi, split="test", settings=settings, cases=1) == items[:1]


def test_of_a_folder_of_images_the_truth_is_not_known(small_phantoms: Path) -> None:
    items = explain_items(small_phantoms / "images", split="test", settings={})
    assert [item.masks for item in items] == [None] * 24


MAPS = arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32))
LESIONS = arrays(np.bool_, (4, 5))


@given(MAPS, LESIONS)
def test_inside_and_outside_make_all(values: np.ndarray, lesion: np.ndarray) -> None:
    inside, outside = energy_inside(values, lesion), energy_inside(values, ~lesion)
    if inside is not None and outside is not None:
        assert inside + outside == pytest.approx(1)
        assert 0 <= inside <= 1
    else:
        assert values.sum() == 0 or lesion.all() or not lesion.any()


@given(LESIONS.filter(np.any))
def test_a_map_that_knows_nothing_has_the_share_of_the_area(lesion: np.ndarray) -> None:
    assert energy_inside(np.full((4, 5), 0.3, np.float32), lesion) == pytest.approx(lesion.mean())


def test_without_lesion_or_energy_there_is_no_share() -> None:
    assert energy_inside(np.ones((2, 2)), np.zeros((2, 2), bool)) is None
    assert energy_inside(np.zeros((2, 2)), np.ones((2, 2), bool)) is None
