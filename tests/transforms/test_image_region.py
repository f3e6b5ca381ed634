"""The image region: borders go, the image stays, and predictions come back to their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Invertd
from monai.transforms.spatial.dictionary import Resized
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bus_monai.data.readers.busi import read_busi
from bus_monai.geometry.box import Box
from bus_monai.io.image import read_mask
from bus_monai.sources.read import read_source
from bus_monai.transforms.crop import CropImageRegiond
from bus_monai.transforms.image_region import find_image_region

COLORS = (0.0, 0.25, 0.5, 1.0)
sides = st.integers(40, 120)
shares = st.floats(0, 1 / 3)


def texture(height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Return speckle that darkens with depth, in [0, 1]."""
    speckle = np.random.default_rng(seed).rayleigh(0.25, (height, width))
    return np.clip(speckle * np.linspace(1, 0.4, height)[:, None], 0, 1).astype(np.float32)


@settings(max_examples=200)
@given(sides, sides, st.tuples(shares, shares, shares, shares), st.sampled_from(COLORS), st.integers(0, 99))
def test_borders_of_one_color_go(
    height: int, width: int, border: tuple[float, float, float, float], color: float, seed: int
) -> None:
    top, bottom = round(border[0] * height), round(border[1] * height)
    left, right = round(border[2] * width), round(border[3] * width)
    image = np.pad(texture(height, width, seed), ((top, bottom), (left, right)), constant_values=color)
    found = find_image_region(image)
    np.testing.assert_allclose(found.sides, (top, left, top + height, left + width), atol=2)


@settings(max_examples=100)
@given(sides, sides, st.integers(0, 99))
def test_without_border_nothing_goes(height: int, width: int, seed: int) -> None:
    assert find_image_region(texture(height, width, seed)) == Box.of_image((height, width))


@pytest.mark.parametrize("quality", [30, 95])
def test_borders_go_after_jpeg_too(quality: int, tmp_path: Path) -> None:
    image = np.pad(texture(200, 160, 0), ((64, 48), (32, 0)))
    Image.fromarray((image * 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=quality)
    pixels = np.asarray(Image.open(tmp_path / "a.jpg")) / 255
    # a block of JPEG reaches 8 pixels
    np.testing.assert_allclose(find_image_region(pixels).sides, (64, 32, 264, 192), atol=2 if quality == 95 else 8)


def test_text_and_ruler_beside_the_image_go() -> None:
    image = Image.fromarray((np.pad(texture(240, 240, 0), ((60, 40), (60, 60))) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.text((100, 20), "B 62 % 4.5 cm", fill=255)
    draw.line((340, 60, 340, 300), fill=200)
    for depth in range(60, 300, 20):
        draw.line((336, depth, 340, depth), fill=200)
    np.testing.assert_allclose(find_image_region(np.asarray(image) / 255).sides, (60, 60, 300, 300), atol=2)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_frame_of_one_color_stays_whole(value: float) -> None:
    assert find_image_region(np.full((40, 50), value)) == Box(0, 0, 40, 50)


def test_an_axis_of_which_too_little_would_remain_stays_whole() -> None:
    image = np.zeros((100, 100))
    image[45:60, 20:90] = texture(15, 70, 0)
    assert find_image_region(image) == Box(0, 20, 100, 90)


def test_prediction_comes_back_to_the_pixel() -> None:
    image = MetaTensor(torch.from_numpy(np.pad(texture(60, 70, 0), ((20, 10), (0, 12))))[None])
    label = MetaTensor((torch.arange(90 * 82) % 2).reshape(1, 90, 82).float())
    crop = CropImageRegiond(["image", "label"])
    item = crop({"image": image, "label": label})
    assert item["image"].shape == item["label"].shape == (1, 60, 70)
    assert torch.equal(item["label"], label[:, 20:80, :70])
    assert torch.equal(crop.inverse(item)["label"][:, 20:80, :70], label[:, 20:80, :70])


def test_prediction_comes_back_through_a_resize() -> None:
    image = MetaTensor(torch.from_numpy(np.pad(texture(60, 70, 0), ((20, 10), (0, 12))))[None])
    chain = Compose([CropImageRegiond("image"), Resized("image", (32, 32))])
    item = chain({"image": image})
    item["pred"] = MetaTensor(torch.ones(1, 32, 32))
    back = Invertd("pred", chain, orig_keys="image", nearest_interp=False)(item)["pred"]
    expected = torch.zeros(1, 90, 82)
    expected[:, 20:80, :70] = 1
    torch.testing.assert_close(back.as_tensor(), expected)


@pytest.mark.slow
def test_lesions_of_real_images_stay(shared: Path) -> None:
    cut = cases = 0
    for case in read_busi(shared / "data" / "busi"):
        pixels = read_source(case.image).pixels
        outside = np.ones(pixels.shape, dtype=bool)
        outside[find_image_region(pixels).slices] = False
        cases += 1
        cut += any(bool((read_mask(mask, pixels.shape) & outside).any()) for mask in case.masks)
    assert cases > 600
    assert cut <= 0.01 * cases
