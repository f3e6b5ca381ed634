"""Loading transforms: contracts of the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Compose, Resized
from PIL import Image

from bus_monai.transforms.load import LoadMasksd, LoadMassBoxesd, LoadMassd, LoadUltrasoundd, components, crop_mass
from tests.user_errors import raises_user_error


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
    with raises_user_error("3 x 9", "6 x 9", path=mask):
        LoadMasksd()(LoadUltrasoundd("image")(item))


def test_an_image_without_signal_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "black.png", np.zeros((6, 9), np.uint8))
    with raises_user_error(path=path):
        LoadUltrasoundd("image")({"image": path})


def item(folder: Path, *frames: tuple[int, int, int, int]) -> dict:
    """An image of 40 x 80 and one mask per frame (top, left, bottom, right)."""
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
    with raises_user_error(path=tmp_path / "m0.png"):
        LoadMassBoxesd()(case)
    with raises_user_error(path=tmp_path / "m0.png"):
        LoadMassBoxesd()(case | {"diagnosis": "benign"})


@pytest.mark.parametrize("diagnosis", ["normal", "unknown"])
def test_an_empty_mask_of_an_image_without_lesion_has_no_box(diagnosis: str, tmp_path: Path) -> None:
    case = LoadUltrasoundd("image")(item(tmp_path, (0, 0, 0, 0)))
    assert LoadMassBoxesd()(case | {"diagnosis": diagnosis})["boxes"].shape == (0, 4)


def disk(height: int, width: int, row: int, column: int, radius: float) -> torch.Tensor:
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


def test_a_disk_keeps_its_share_of_the_square() -> None:
    square = crop_mass(disk(200, 200, 90, 110, 60))
    share = np.pi * 60**2 / (1.5 * 121) ** 2
    assert float(square.mean()) == pytest.approx(share, abs=0.01)


def save_mass_crop(path: Path, mask: np.ndarray) -> str:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return str(path)


def test_part_of_a_prediction_that_shares_the_most_pixels(tmp_path: Path) -> None:
    truth, predicted = np.zeros((2, 40, 50), dtype=bool)
    truth[10:20, 10:30] = True
    predicted[8:18, 10:18] = True
    predicted[12:30, 20:29] = True
    predicted[35:40, 35:50] = True
    item = {
        "id": "a_m1",
        "mask": save_mass_crop(tmp_path / "t.png", truth),
        "predicted": save_mass_crop(tmp_path / "p.png", predicted),
    }
    expected = np.zeros_like(predicted)
    expected[12:30, 20:29] = True
    result = LoadMassd()(item)
    assert torch.equal(result["image"], crop_mass(torch.from_numpy(expected)[None]))
    assert result.keys() == {"id", "image"}
    predicted[:32] = False
    item["predicted"] = save_mass_crop(tmp_path / "p.png", predicted)
    assert not LoadMassd()(item)["image"].any()


def test_gray_values_are_those_of_the_square_of_the_mask(tmp_path: Path) -> None:
    mask = np.zeros((40, 50), dtype=bool)
    mask[10:20, 0:20] = True
    gray = np.where(mask, 204, 51).astype(np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    item = {"id": "a_m1", "mask": save_mass_crop(tmp_path / "t.png", mask), "source": str(tmp_path / "gray.png")}
    result = LoadMassd(gray_values=True)(item)
    assert result.keys() == {"id", "image", "gray"}
    inside, gray_values = result["image"][0] == 1, result["gray"][0]
    # the square of 30 pixels begins 5 left of the image
    assert float(gray_values[:, :10].max()) == 0
    assert float(gray_values[:, 12:].min()) == pytest.approx(0.2)
    assert float(gray_values[inside].median()) == pytest.approx(0.8)
    Image.fromarray(gray[1:]).save(tmp_path / "gray.png")
    with raises_user_error("39 x 50", "40 x 50", path=tmp_path / "gray.png"):
        LoadMassd(gray_values=True)(item)


def test_components_touch_at_corners() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1]], dtype=bool)
    assert [part.sum() for part in components(mask)] == [2, 2]


def test_wrong_masks_are_named(tmp_path: Path) -> None:
    empty, full = (
        save_mass_crop(tmp_path / "e.png", np.zeros((8, 9))),
        save_mass_crop(tmp_path / "f.png", np.pad(np.ones((6, 7)), 1)),
    )
    other = save_mass_crop(tmp_path / "o.png", np.pad(np.ones((7, 7)), 1))
    with raises_user_error("a_m1", path=empty):
        LoadMassd()({"id": "a_m1", "mask": empty})
    with raises_user_error("9 x 9", "8 x 9", path=other):
        LoadMassd()({"id": "a_m1", "mask": full, "predicted": other})
