"""One item a mass, each with all masks of its image and the box of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.data.case import Case
from bus_monai.data.framed_items import framed_items
from bus_monai.errors import UserError


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    """One image with two masses, one without any."""
    masks = []
    for number, (rows, columns) in enumerate(((slice(2, 5), slice(7, 8)), (slice(0, 20), slice(1, 30))), start=1):
        mask = np.zeros((20, 30), dtype=np.uint8)
        mask[rows, columns] = 255
        masks.append(tmp_path / f"mask{number}.png")
        Image.fromarray(mask).save(masks[-1])
    image = tmp_path / "image.png"
    return [Case("a", image, tuple(masks), "woman", "malignant"), Case("b", image, (), "other", "normal")]


def test_one_item_a_mass(cases: list[Case]) -> None:
    first, second = framed_items(cases, "loose")
    assert (first["id"], second["id"]) == ("a_m1", "a_m2")
    assert first["box"].tolist() == [2, 7, 5, 8]
    assert second["box"].tolist() == [0, 1, 20, 30]
    assert first["masks"] == second["masks"] == [str(mask) for mask in cases[0].masks]
    assert first["group"] == second["group"] == "woman"


def test_one_item_an_image_for_full_frames(cases: list[Case]) -> None:
    items = framed_items(cases, "full")
    assert [item["id"] for item in items] == ["a", "b"]
    assert all("box" not in item for item in items)


def test_what_is_wrong_is_said(cases: list[Case]) -> None:
    with pytest.raises(UserError) as error:
        framed_items(cases[1:], "tight")
    assert str(error.value) == (
        "None of the 1 images has a mask to crop around: add masks, or set frame to full."
    )  # fmt: skip
    mask = cases[0].masks[1]
    Image.fromarray(np.zeros((20, 30), dtype=np.uint8)).save(mask)
    with pytest.raises(UserError) as error:
        framed_items(cases, "loose")
    assert str(error.value) == f"The mask '{mask}' is empty, so that there is nothing to crop around: remove it."
    assert framed_items([], "loose") == []
