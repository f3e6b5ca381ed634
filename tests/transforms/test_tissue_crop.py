"""Parts of an image: clear of the lesion or with all of it, never too small, and the same of image and label."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray

from bus_monai.transforms.tissue_crop import MIN_AREA, RandTissueCropd, draw_clear_part, draw_whole_part

MODES = ("bilinear", "nearest-exact")


def with_lesion(top: int, bottom: int, left: int, right: int, side: int = 128) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def item(mask: NDArray[np.bool_]) -> dict[str, MetaTensor]:
    label = MetaTensor(torch.from_numpy(mask)[None].float())
    return {"image": MetaTensor(label * 0.5, meta={"spacing_mm": 1}), "label": label}


@settings(max_examples=200)
@given(st.integers(0, 100), st.integers(0, 100), st.integers(4, 60), st.integers(4, 60), st.integers(0, 999))
def test_a_clear_part_touches_no_lesion_and_a_whole_part_has_all(
    top: int, left: int, height: int, width: int, seed: int
) -> None:
    mask = with_lesion(top, top + height, left, left + width)
    random = np.random.RandomState(seed)
    clear = draw_clear_part(mask, 0.35, random)
    if clear is not None:
        assert not mask[clear.slices].any()
    whole = draw_whole_part(mask, 0.35, random)
    assert whole is not None
    assert mask[whole.slices].sum() == mask.sum()
    for box in (clear, whole):
        if box is not None:
            assert 0 <= box.top <= box.bottom <= 128
            assert 0 <= box.left <= box.right <= 128
            sides = (box.bottom - box.top) / 128, (box.right - box.left) / 128
            assert min(sides) > 0.34
            assert sides[0] * sides[1] > MIN_AREA - 0.01


def test_every_side_of_a_lesion_that_leaves_room_is_shown() -> None:
    mask = with_lesion(60, 68, 60, 68)
    random = np.random.RandomState(0)
    drawn = [draw_clear_part(mask, 0.35, random) for _ in range(200)]
    boxes = [box for box in drawn if box is not None]
    assert len(boxes) == 200
    assert any(box.bottom <= 60 for box in boxes)
    assert any(box.top >= 68 for box in boxes)
    assert any(box.right <= 60 for box in boxes)
    assert any(box.left >= 68 for box in boxes)


def test_a_lesion_that_leaves_no_room_stays() -> None:
    mask = with_lesion(20, 100, 30, 100)
    before = item(mask)
    after = RandTissueCropd(["image", "label"], 1.0, free=1.0, mode=MODES)(before)
    assert after["image"] is before["image"]
    assert draw_clear_part(mask, 0.35, np.random.RandomState(0)) is None


@pytest.mark.parametrize(("free", "lesion"), [(1.0, False), (0.0, True)])
def test_image_and_label_show_the_same_part_at_full_size(free: float, lesion: bool) -> None:
    before = item(with_lesion(20, 60, 30, 80))
    crop = RandTissueCropd(["image", "label"], 1.0, free=free, mode=MODES)
    for seed in range(20):
        after = crop.set_random_state(seed)(before)
        assert after["image"].shape == after["label"].shape == (1, 128, 128)
        assert after["image"].meta["spacing_mm"] == 1
        assert set(after["label"].unique().tolist()) <= {0.0, 1.0}
        assert bool(after["label"].any()) == lesion
        # edges alone are interpolated otherwise
        assert float((after["image"] - after["label"] * 0.5).abs().mean()) < 0.02
        if lesion:
            assert int(after["label"].sum()) >= int(before["label"].sum())


def test_of_a_normal_image_any_part_is_shown() -> None:
    normal = np.zeros((64, 96), dtype=bool)
    random = np.random.RandomState(0)
    boxes = [draw(normal, 0.35, random) for _ in range(50) for draw in (draw_clear_part, draw_whole_part)]
    shares = [box.area / normal.size for box in boxes if box is not None]
    assert len(shares) == 100
    assert min(shares) < 0.35
    assert max(shares) > 0.8
