"""The ultrasound on a screen is found by its texture, plain borders go, and predictions come back to their place."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

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

from bus_monai.data.phantoms.screen import ScreenLayout, draw_screen, images_of_layout
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.data.readers.ultrasound import read_busi
from bus_monai.geometry.box import Box, Region, mask_of
from bus_monai.io.gray import GRAYS, LUMA_WEIGHTS
from bus_monai.io.image import read_mask
from bus_monai.sources.read import read_source
from bus_monai.transforms.crop import IMAGES_META, CropImageRegiond
from bus_monai.transforms.image_region import FrameRegions, find_regions, peel_borders


def speckle(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Return speckle that darkens with depth, in [0, 1]."""
    grains = np.random.default_rng(seed).rayleigh(0.25, (height, width))
    return np.clip(grains * np.linspace(1, 0.4, height)[:, None], 0, 1).astype(np.float32)


def two_images() -> NDArray[np.float32]:
    """Return a screen of two images, 24 columns apart."""
    screen = np.zeros((240, 400), dtype=np.float32)
    screen[40:200, 24:184], screen[40:200, 208:368] = speckle(160, 160), speckle(160, 160, 1)
    return screen


LEFT, RIGHT = Box(40, 24, 200, 184), Box(40, 208, 200, 368)


@pytest.mark.parametrize("layout", get_args(ScreenLayout))
@pytest.mark.parametrize("size", [(600, 800), (1080, 1920)])
def test_images_are_found_on_any_screen(layout: ScreenLayout, size: tuple[int, int]) -> None:
    images = [make_phantom(seed, (256, 320)).image for seed in range(images_of_layout(layout))]
    screen = draw_screen(images, layout, np.random.default_rng(5), size=size)
    regions = find_regions(screen.image @ LUMA_WEIGHTS / 255)
    found = mask_of(regions, size)
    assert len(regions) == len(images)
    assert (found & screen.shown).sum() / (found | screen.shown).sum() > 0.96
    # a line of pixels at most
    assert (found & ~screen.shown).sum() < 2 * sum(size)


def test_an_image_without_interface_stays_whole() -> None:
    for seed in range(3):
        pixels = make_phantom(seed, (300, 400)).image / np.float32(255)
        assert find_regions(pixels) == (Region(Box(0, 0, 300, 400)),)


@pytest.mark.parametrize("value", [0.0, 0.5, np.nan, 7.0])
def test_a_frame_without_texture_stays_whole(value: float) -> None:
    assert find_regions(np.full((200, 300), value, np.float32)) == (Region(Box(0, 0, 200, 300)),)


def test_tissue_without_echoes_stays_on_a_gray_ground() -> None:
    screen = np.full((240, 320), 0.5, dtype=np.float32)
    screen[40:200, 60:260] = 0
    screen[40:150, 60:260] = speckle(110, 200)
    screen[150:200, 60:120] = speckle(50, 60)
    assert find_regions(screen)[0].box == Box(40, 60, 200, 260)


def test_two_images_are_found_from_left_to_right() -> None:
    assert find_regions(two_images()) == (Region(LEFT), Region(RIGHT))
    levels = np.rint(two_images() * 255).astype(np.uint8)
    assert find_regions(levels) == find_regions(GRAYS[levels]) == (Region(LEFT), Region(RIGHT))


def test_what_the_file_says_counts_where_it_fits() -> None:
    screen = np.zeros((240, 400), dtype=np.float32)
    screen[40:200, 24:368] = speckle(160, 344)
    (whole,) = find_regions(screen)
    halves = [Box(40, 24, 200, 196), Box(40, 196, 200, 368)]
    assert [region.box for region in find_regions(screen, halves)] == halves
    for wrong in ([Box(40, 24, 200, 401)], [Box(0, 0, 240, 100)], [*halves, Box(40, 190, 200, 300)], [Box(0, 0, 4, 4)]):
        assert find_regions(screen, wrong) == (whole,)


def test_an_image_that_the_file_names_is_one_without_its_ground() -> None:
    assert find_regions(two_images(), [Box(30, 10, 210, 390)]) == (Region(Box(40, 24, 200, 368)),)


def test_the_screen_of_a_cine_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        "bus_monai.transforms.image_region.find_regions", lambda *given: calls.append(1) or find_regions(*given)
    )
    regions = FrameRegions()
    frame = two_images()
    assert regions(frame) == (Region(LEFT), Region(RIGHT))
    dark = frame * np.float32(0.02)
    dark[8:16, 10:40] = 1  # a clock
    assert regions(dark) == (Region(LEFT), Region(RIGHT))
    assert len(calls) == 1
    # another layout
    assert regions(np.roll(frame, 20, axis=0)) == (Region(LEFT.shifted(20, 0)), Region(RIGHT.shifted(20, 0)))
    assert len(calls) == 2
    plain = speckle(240, 400)
    for _ in range(2):
        assert regions(plain) == (Region(Box(0, 0, 240, 400)),)
    assert len(calls) == 4


def test_prediction_comes_back_to_the_pixel() -> None:
    image = MetaTensor(torch.from_numpy(np.pad(speckle(60, 70), ((20, 10), (0, 12))))[None])
    label = MetaTensor((torch.arange(90 * 82) % 2).reshape(1, 90, 82).float())
    crop = CropImageRegiond(["image", "label"])
    item = crop({"image": image, "label": label})
    assert item["image"].shape == item["label"].shape == (1, 60, 70)
    assert torch.equal(item["label"], label[:, 20:80, :70])
    assert torch.equal(crop.inverse(item)["label"][:, 20:80, :70], label[:, 20:80, :70])


def test_prediction_comes_back_through_a_resize() -> None:
    image = MetaTensor(torch.from_numpy(np.pad(speckle(60, 70), ((20, 10), (0, 12))))[None])
    chain = Compose([CropImageRegiond("image"), Resized("image", (32, 32))])
    item = chain({"image": image})
    item["pred"] = MetaTensor(torch.ones(1, 32, 32))
    back = Invertd("pred", chain, orig_keys="image", nearest_interp=False)(item)["pred"]
    expected = torch.zeros(1, 90, 82)
    expected[:, 20:80, :70] = 1
    torch.testing.assert_close(back.as_tensor(), expected)


def test_what_lies_between_two_images_is_black_and_no_lesion() -> None:
    screen = two_images()
    screen[100:108, 192:200] = 1
    image = MetaTensor(torch.from_numpy(screen)[None])
    chain = Compose([CropImageRegiond("image"), Resized("image", (32, 32))])
    cropped = CropImageRegiond("image")({"image": image})["image"]
    assert cropped.shape == (1, 160, 344)
    assert not cropped[:, :, 160:184].any()
    item = chain({"image": image})
    item["pred"] = MetaTensor(torch.ones(1, 32, 32))
    back = Invertd("pred", chain, orig_keys="image", nearest_interp=False)(item)["pred"]
    expected = mask_of([Region(LEFT), Region(RIGHT)], (240, 400)).astype(np.float32)
    np.testing.assert_allclose(back.as_tensor()[0], expected, atol=1e-6)


def test_the_crop_heeds_what_the_file_says() -> None:
    halves = np.zeros((8, 4), dtype=np.int64)
    halves[0] = 40, 24, 200, 184
    screen = np.zeros((240, 400), dtype=np.float32)
    screen[40:200, 24:200] = speckle(160, 176)
    image = MetaTensor(torch.from_numpy(screen)[None], meta={IMAGES_META: halves})
    assert CropImageRegiond("image")({"image": image})["image"].shape == (1, 160, 160)


@pytest.mark.slow
def test_lesions_of_real_images_stay(shared: Path) -> None:
    cut = cases = 0
    for case in read_busi(shared / "data" / "busi"):
        pixels = read_source(case.image).pixels
        outside = np.ones(pixels.shape, dtype=bool)
        outside &= ~mask_of(find_regions(pixels), pixels.shape)
        cases += 1
        cut += any(bool((read_mask(mask, pixels.shape) & outside).any()) for mask in case.masks)
    assert cases > 600
    assert cut <= 0.01 * cases


COLORS = (0, 64, 128, 255)
sides = st.integers(40, 120)
shares = st.floats(0, 1 / 3)


def texture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Return speckle that darkens with depth."""
    speckle = np.random.default_rng(seed).rayleigh(0.25, (height, width))
    return np.rint(255 * np.clip(speckle * np.linspace(1, 0.4, height)[:, None], 0, 1)).astype(np.uint8)


@settings(max_examples=200)
@given(sides, sides, st.tuples(shares, shares, shares, shares), st.sampled_from(COLORS), st.integers(0, 99))
def test_borders_of_one_color_go(
    height: int, width: int, border: tuple[float, float, float, float], color: int, seed: int
) -> None:
    top, bottom = round(border[0] * height), round(border[1] * height)
    left, right = round(border[2] * width), round(border[3] * width)
    image = np.pad(texture(height, width, seed), ((top, bottom), (left, right)), constant_values=color)
    found = peel_borders(image)
    np.testing.assert_allclose(found.sides, (top, left, top + height, left + width), atol=2)


@settings(max_examples=100)
@given(sides, sides, st.integers(0, 99))
def test_without_border_nothing_goes(height: int, width: int, seed: int) -> None:
    assert peel_borders(texture(height, width, seed)) == Box.of_image((height, width))


@pytest.mark.parametrize("quality", [30, 95])
def test_borders_go_after_jpeg_too(quality: int, tmp_path: Path) -> None:
    image = np.pad(texture(200, 160, 0), ((64, 48), (32, 0)))
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=quality)
    pixels = np.asarray(Image.open(tmp_path / "a.jpg"))
    # a block of JPEG reaches 8 pixels
    np.testing.assert_allclose(peel_borders(pixels).sides, (64, 32, 264, 192), atol=2 if quality == 95 else 8)


def test_text_and_ruler_beside_the_image_go() -> None:
    image = Image.fromarray(np.pad(texture(240, 240, 0), ((60, 40), (60, 60))))
    draw = ImageDraw.Draw(image)
    draw.text((100, 20), "B 62 % 4.5 cm", fill=255)
    draw.line((340, 60, 340, 300), fill=200)
    for depth in range(60, 300, 20):
        draw.line((336, depth, 340, depth), fill=200)
    np.testing.assert_allclose(peel_borders(np.asarray(image)).sides, (60, 60, 300, 300), atol=2)


@pytest.mark.parametrize("value", [0, 128])
def test_a_frame_of_one_color_stays_whole(value: int) -> None:
    assert peel_borders(np.full((40, 50), value, np.uint8)) == Box(0, 0, 40, 50)


def test_an_axis_of_which_too_little_would_remain_stays_whole() -> None:
    image = np.zeros((100, 100), np.uint8)
    image[45:60, 20:90] = texture(15, 70, 0)
    assert peel_borders(image) == Box(0, 20, 100, 90)
