"""Screens: the same for the same seed, images where they are said to be, and nothing of them beside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bus_monai.data.phantoms.screen import SCREEN_LAYOUTS, SCREEN_SIZES, ScreenLayout, draw_screen, images_of_layout
from tests.user_errors import raises_user_error

BRIGHT = np.full((200, 300), 201, dtype=np.uint8)


@pytest.mark.parametrize("layout", SCREEN_LAYOUTS)
def test_images_lie_where_it_is_said(layout: ScreenLayout) -> None:
    images = [BRIGHT] * images_of_layout(layout)
    for seed, size in enumerate(SCREEN_SIZES):
        screen = draw_screen(images, layout, np.random.default_rng(seed), size=size)
        assert screen.image.shape == (*size, 3)
        assert len(screen.boxes) == len(images)
        assert (screen.image[screen.shown] == 201).all()
        inside = np.zeros(size, dtype=bool)
        for box in screen.boxes:
            assert box.width / box.height == pytest.approx(1.5, rel=0.01)
            inside[box.slices] = True
        assert not (screen.shown & ~inside).any()
        assert screen.shown.sum() == inside.sum() or layout == "sector"
        # there is an interface
        assert np.ptp(screen.image[~inside], axis=0).min() > 60


def test_the_same_seed_gives_the_same_screen() -> None:
    one, same, other = (draw_screen([BRIGHT], "header", np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.image, same.image)
    assert (one.image != other.image).any()


@pytest.mark.parametrize(
    ("given", "key"),
    [({"layout": "round"}, "layout"), ({"layout": "dual"}, None), ({"size": (400, 800)}, None)],
)
def test_what_is_wrong_is_said(given: dict[str, Any], key: str | None) -> None:
    words = {"layout": "header", "rng": np.random.default_rng(0)} | given
    with raises_user_error(key=key):
        draw_screen([BRIGHT], **words)
