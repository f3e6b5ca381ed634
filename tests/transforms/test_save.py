"""Masks on their way to a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bus_monai.transforms.save import SaveMaskd

PROBABILITY = torch.tensor([[[0.4, 0.5, 0.6], [0.0, 0.2, 1.0]]])


def test_a_mask_is_written_where_the_item_says(tmp_path: Path) -> None:
    source, output = tmp_path / "i.png", tmp_path / "masks" / "i_mask.png"
    Image.fromarray(np.ones((2, 3), np.uint8)).save(source)
    item = {"pred": PROBABILITY, "source": str(source), "output": str(output)}
    assert SaveMaskd()(item)["pred"] is PROBABILITY
    assert np.asarray(Image.open(output)).tolist() == [[0, 255, 255], [0, 0, 255]]


def test_else_the_item_holds_it_columns_first() -> None:
    mask = SaveMaskd(threshold=0.55)({"pred": PROBABILITY})["pred"]
    assert mask.dtype == torch.uint8
    assert mask.tolist() == [[0, 0], [0, 0], [1, 1]]
