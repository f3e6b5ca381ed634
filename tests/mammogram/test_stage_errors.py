"""How errors pass on, with stages that can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bus_monai.data.datalist import Case
from bus_monai.geometry.box import Box
from bus_monai.mammogram.reader import MammogramReader
from bus_monai.mammogram.stage_errors import measure_stage_errors
from bus_monai.mammogram.stages import FoundMass


def segment(image: Tensor, box: Box) -> Tensor:
    """The box itself."""
    mask = torch.zeros_like(image, dtype=torch.bool)
    mask[(0, *box.slices)] = True
    return mask


def classify(mask: Tensor, image: Tensor) -> dict[str, float]:
    """Round as long as it is as wide as high."""
    square = float(mask.any(dim=1).sum() == mask.any(dim=2).sum())
    return {"irregular": 0.0, "lobular": 0.0, "oval": 1 - square, "round": square}


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    Image.fromarray(np.full((60, 80), 90, np.uint8)).save(tmp_path / "a.png")
    masks = []
    for number, (top, left) in enumerate(((10, 10), (30, 50)), start=1):
        mask = np.zeros((60, 80), np.uint8)
        mask[top : top + 10, left : left + 10] = 255
        masks.append(tmp_path / f"a_mask_{number}.png")
        Image.fromarray(mask).save(masks[-1])
    return [Case("a", tmp_path / "a.png", tuple(masks), "p", "benign")]


def test_each_stage_is_measured_with_truth_and_without(cases: list[Case]) -> None:
    found = [FoundMass(Box(10, 10, 20, 25), 0.9), FoundMass(Box(0, 70, 5, 75), 0.8)]
    reader = MammogramReader(lambda image: found, segment, classify)
    errors = measure_stage_errors(reader, cases, {str(path): "round" for path in cases[0].masks})
    first, second = errors.masses
    assert (first.shape_of_mask, first.shape_with_box, first.dice_with_box) == ("round", "round", 1)
    assert (first.shape_detected, first.dice_detected) == ("oval", 2 * 100 / (100 + 150))
    assert (second.shape_detected, second.dice_detected) == ("", 0)
    assert errors.dice()["true boxes"].value == 1
    assert errors.dice()["detected boxes"].value == pytest.approx(0.4)
    assert {name: share.value for name, share in errors.shape_accuracy().items()} == {
        "true masks": 1, "masks within true boxes": 1, "masks within detected boxes": 0,
    }  # fmt: skip
    rows = {(row["stage"], row["given"], row["figure"]): row["value"] for row in errors.table()}
    assert rows["detection", "images", "lesion sensitivity"] == 0.5
    assert rows["detection", "images", "false components per image"] == 1
    assert rows["segmentation", "detected boxes", "Dice of an image"] == pytest.approx(200 / (200 + 175))
    assert rows["shape", "true masks", "accuracy"] == 1


def test_unknown_shapes_are_not_counted(cases: list[Case]) -> None:
    errors = measure_stage_errors(MammogramReader(lambda image: [], segment, classify), cases, {})
    assert errors.shape_accuracy() == {}
    assert errors.dice()["detected boxes"].value == 0


def test_a_black_mask_of_a_normal_image_is_no_mass(cases: list[Case], tmp_path: Path) -> None:
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(tmp_path / "black.png")
    normal = replace(cases[0], id="b", masks=(tmp_path / "black.png",), diagnosis="normal")
    errors = measure_stage_errors(MammogramReader(lambda image: [], segment, classify), [*cases, normal], {})
    assert [mass.id for mass in errors.masses] == ["a", "a"]
    assert [row.id for row in errors.detected] == ["a", "b"]
