"""Loading transforms: contracts of the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bus_monai.errors import UserError
from bus_monai.transforms.load import LoadMasksd, LoadUltrasoundd


def save(path: Path, values: np.ndarray) -> str:
    Image.fromarray(values).save(path)
    return str(path)


def test_image_and_merged_mask(tmp_path: Path) -> None:
    image = np.full((6, 9), 128, np.uint8)
    first, second = np.zeros((6, 9), np.uint8), np.zeros((6, 9, 4), np.uint8)
    first[1, 2] = 255
    second[4, 8] = (255, 255, 255, 0)  # lesion whatever the alpha channel says
    second[0, 0, 3] = 255  # opaque black is no lesion
    item = {
        "image": save(tmp_path / "i.png", image),
        "masks": [save(tmp_path / "a.png", first), save(tmp_path / "b.png", second)],
        "id": "x",
    }
    out = LoadMasksd()(LoadUltrasoundd("image")(item))
    assert out["image"].shape == out["label"].shape == (1, 6, 9)
    assert out["image"].dtype == out["label"].dtype == torch.float32
    assert float(out["image"].mean()) == pytest.approx(128 / 255)
    assert out["label"][0].nonzero().tolist() == [[1, 2], [4, 8]]
    assert tuple(out["image"].meta["source_shape"]) == (6, 9)
    assert np.isnan(out["image"].meta["spacing_mm"]).all()
    assert "masks" not in out
    assert isinstance(item["masks"], list), "the caller's item is left as it was"


def test_no_mask_is_an_empty_label(tmp_path: Path) -> None:
    item = {"image": save(tmp_path / "i.png", np.full((6, 9), 9, np.uint8)), "masks": []}
    label = LoadMasksd()(LoadUltrasoundd("image")(item))["label"]
    assert label.shape == (1, 6, 9)
    assert float(label.sum()) == 0


def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    mask = save(tmp_path / "m.png", np.zeros((3, 9), np.uint8))
    item = {"image": save(tmp_path / "i.png", np.full((6, 9), 9, np.uint8)), "masks": [mask]}
    with pytest.raises(UserError) as error:
        LoadMasksd()(LoadUltrasoundd("image")(item))
    assert str(error.value) == (
        f"The mask '{mask}' has 3 x 9 pixels but its image 6 x 9: give a mask of the image's size."
    )


def test_an_image_without_signal_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "black.png", np.zeros((6, 9), np.uint8))
    with pytest.raises(UserError) as error:
        LoadUltrasoundd("image")({"image": path})
    assert str(error.value) == f"'{path}' holds no signal: every pixel is 0; remove it from the data set."
