"""Plain borders go, and thin marks on them; the image stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bus_monai.geometry.box import Box
from bus_monai.transforms.image_region import peel_borders

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
