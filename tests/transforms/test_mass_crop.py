"""A mass by itself: the same wherever it lies, undistorted, with its margin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bus_monai.errors import UserError
from bus_monai.transforms.load_mass import LoadMassd, components
from bus_monai.transforms.mass_crop import crop_mass


def disc(height: int, width: int, row: int, column: int, radius: float) -> torch.Tensor:
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    return ((rows - row) ** 2 + (columns - column) ** 2 <= radius**2)[None]


@settings(max_examples=30)
@given(st.integers(0, 40), st.integers(0, 70), st.integers(1, 20), st.integers(1, 20))
def test_place_and_size_of_the_image_do_not_matter(top: int, left: int, height: int, width: int) -> None:
    mass = torch.rand(height, width, generator=torch.Generator().manual_seed(height * width)) < 0.6
    mass[0, 0] = mass[-1, -1] = mass[0, -1] = mass[-1, 0] = True
    image = torch.zeros(1, top + height + 3, left + width, dtype=torch.bool)
    image[0, top : top + height, left : left + width] = mass
    assert torch.equal(crop_mass(image), crop_mass(mass[None]))


def test_mass_fills_two_thirds_of_the_square_and_is_not_stretched() -> None:
    """A bar of 40 x 10 that touches two borders of its image: the square has a side of 60."""
    mask = torch.zeros(1, 60, 12, dtype=torch.bool)
    mask[0, :40, :10] = True
    square = crop_mass(mask)
    assert square.shape == (1, 64, 64)
    assert set(square.unique().tolist()) == {0.0, 1.0}
    rows, columns = (int(square[0].any(dim=axis).sum()) for axis in (1, 0))
    # enlarging by area gives half a pixel to the mass at either side
    assert rows == pytest.approx(64 * 40 / 60, abs=1.5)
    assert columns == pytest.approx(64 * 10 / 60, abs=1.5)


def test_a_disc_keeps_its_share_of_the_square() -> None:
    square = crop_mass(disc(200, 200, 90, 110, 60))
    share = np.pi * 60**2 / (1.5 * 121) ** 2
    assert float(square.mean()) == pytest.approx(share, abs=0.01)


def save(path: Path, mask: np.ndarray) -> str:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return str(path)


def test_part_of_a_prediction_that_shares_the_most_pixels(tmp_path: Path) -> None:
    truth, predicted = np.zeros((2, 40, 50), dtype=bool)
    truth[10:20, 10:30] = True
    predicted[8:18, 10:18] = True
    predicted[12:30, 20:29] = True
    predicted[35:40, 35:50] = True
    item = {"id": "a_m1", "mask": save(tmp_path / "t.png", truth), "predicted": save(tmp_path / "p.png", predicted)}
    expected = np.zeros_like(predicted)
    expected[12:30, 20:29] = True
    result = LoadMassd()(item)
    assert torch.equal(result["image"], crop_mass(torch.from_numpy(expected)[None]))
    assert result.keys() == {"id", "image"}
    predicted[:32] = False
    item["predicted"] = save(tmp_path / "p.png", predicted)
    assert not LoadMassd()(item)["image"].any()


def test_components_touch_at_corners() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1]], dtype=bool)
    assert [part.sum() for part in components(mask)] == [2, 2]


def test_wrong_masks_are_named(tmp_path: Path) -> None:
    empty, full = save(tmp_path / "e.png", np.zeros((8, 9))), save(tmp_path / "f.png", np.ones((8, 9)))
    other = save(tmp_path / "o.png", np.ones((9, 9)))
    with pytest.raises(
        UserError, match=rf"^The mask '{empty}' of the mass 'a_m1' is empty: draw it or remove its row\.$"
    ):
        LoadMassd()({"id": "a_m1", "mask": empty})
    with pytest.raises(
        UserError, match=rf"^The predicted mask '{other}' has 9 x 9 pixels but the true one 8 x 9: give"
    ):
        LoadMassd()({"id": "a_m1", "mask": full, "predicted": other})
