"""What is there to explain, and what a job tells of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bus_monai.data.dataset import load_dataset
from bus_monai.explain.explain_job import ExplainedImage, ExplainedMap, energy_table, explain_items, explanation_figure
from bus_monai.explain.explanation import ExplainItem, Explanation, ExplanationMap


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


def test_energies_are_means_over_maps_that_have_a_lesion() -> None:
    item = ExplainItem("a", Path("a.png"), 0, Path("a"), None)
    rows = [
        ExplainedMap("a", "grad_cam", "up", 0.5, 0.1),
        ExplainedMap("a", "grad_cam", "up", 0.7, 0.3),
        ExplainedMap("a", "grad_cam", "up", None, None),
        ExplainedMap("a", "attention", "gate", None, 0.2),
    ]
    (found,) = energy_table([ExplainedImage(item, None, rows), ExplainedImage(item, None, reason="broken")])
    assert found == {"method": "grad_cam", "layer": "up", "images": 2, "energy": 0.6, "chance": 0.2}


def test_all_panels_of_a_figure_are_as_large_and_high() -> None:
    """A color bar takes nothing of its panel, so that outlines compare from one to the next."""
    image, lesion = np.zeros((24, 32), np.float32), np.eye(24, 32, dtype=bool)
    maps = [ExplanationMap("grad_cam", layer, np.full_like(image, level)) for layer, level in (("a", 1), ("b", 3000))]
    figure = explanation_figure(Explanation(image, lesion, lesion, maps, np.ones_like(lesion)), "case")
    figure.draw_without_rendering()
    panels = [axis.get_position() for axis in figure.axes[:4]]
    assert np.ptp([panel.width for panel in panels]) < 1e-6
    assert np.ptp([panel.y1 for panel in panels[:3]]) < 1e-6
