"""A folder of small phantoms in the layout of BUSI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.data.phantoms.ultrasound import make_phantom

SIZE = (96, 128)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six benign phantoms with one lesion each; nothing is wrong with them."""
    place = tmp_path / "set" / "benign"
    place.mkdir(parents=True)
    seeds = [seed for seed in range(40) if len(make_phantom(seed, SIZE).masks) == 1][:6]
    for i, seed in enumerate(seeds):
        phantom = make_phantom(seed, SIZE)
        Image.fromarray(phantom.image).save(place / f"a{i}.png")
        Image.fromarray(phantom.masks[0].astype(np.uint8) * 255).save(place / f"a{i}_mask.png")
    return tmp_path / "set"
