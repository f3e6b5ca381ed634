"""Boxes of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Resized
from PIL import Image

from bus_monai.errors import UserError
from bus_monai.transforms.load import LoadUltrasoundd
from bus_monai.transforms.load_boxes import LoadMassBoxesd


def item(folder: Path, *frames: tuple[int, int, int, int]) -> dict:
    """An image of 40 x 80 and a mask a frame (top, left, bottom, right)."""
    Image.fromarray(np.full((40, 80), 9, np.uint8)).save(folder / "a.png")
    masks = []
    for i, (top, left, bottom, right) in enumerate(frames):
        mask = np.zeros((40, 80), np.uint8)
        mask[top:bottom, left:right] = 255
        Image.fromarray(mask).save(folder / f"m{i}.png")
        masks.append(str(folder / f"m{i}.png"))
    return {"image": str(folder / "a.png"), "masks": masks}


def test_a_box_a_mask_at_the_size_of_the_image(tmp_path: Path) -> None:
    case = item(tmp_path, (3, 5, 10, 40), (20, 70, 40, 80))
    plain = Compose([LoadUltrasoundd("image"), LoadMassBoxesd()])(case)
    assert plain["boxes"].tolist() == [[3, 5, 10, 40], [20, 70, 40, 80]]
    assert plain["classes"].tolist() == [0, 0]
    assert "masks" not in plain
    resized = Compose([LoadUltrasoundd("image"), Resized("image", (300, 300)), LoadMassBoxesd()])(case)
    torch.testing.assert_close(resized["boxes"][0], torch.tensor([22.5, 18.75, 75.0, 150.0]))


def test_an_image_without_mass_has_no_box(tmp_path: Path) -> None:
    out = Compose([LoadUltrasoundd("image"), LoadMassBoxesd()])(item(tmp_path))
    assert out["boxes"].shape == (0, 4)
    assert out["classes"].shape == (0,)


def test_an_empty_mask_is_named(tmp_path: Path) -> None:
    case = LoadUltrasoundd("image")(item(tmp_path, (0, 0, 0, 0)))
    with pytest.raises(UserError, match=rf"^The mask '{tmp_path}/m0.png' is empty: draw the mass or remove the file "):
        LoadMassBoxesd()(case)
