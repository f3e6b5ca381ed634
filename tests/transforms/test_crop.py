"""Crops are where their box says, go back to their place, and keep their box and no more of the image."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Invertd
from monai.transforms.spatial.dictionary import Resized

from bus_monai.geometry.box import Box, loose_box, tight_box
from bus_monai.transforms.crop import CROP_KINDS, CropToBoxd, RandBoxJitterd, room_to_jitter
from tests.user_errors import raises_user_error

SIZE = (60, 40)


def item(box: Box | None, size: tuple[int, int] = SIZE) -> dict:
    image = MetaTensor(torch.arange(size[0] * size[1], dtype=torch.float32).reshape(1, *size))
    label = MetaTensor((image.as_tensor() % 3 == 0).float())
    return {"image": image, "label": label} | ({} if box is None else {"box": np.array(box.sides)})


@st.composite
def boxes(draw: st.DrawFn, size: tuple[int, int] = SIZE, least: int = 1) -> Box:
    top, left = draw(st.integers(0, size[0] - least)), draw(st.integers(0, size[1] - least))
    return Box(
        top, left, draw(st.integers(top + least, size[0])), draw(st.integers(left + least, size[1]))
    )  # fmt: skip


@given(boxes(), st.sampled_from(CROP_KINDS), st.floats(1, 3))
def test_image_and_label_are_those_of_the_crop_and_the_box_stays_on_its_mass(box: Box, crop: str, scale: float) -> None:
    whole = item(box)
    cropped = CropToBoxd(["image", "label"], box=crop, loose_scale=scale)(whole)
    expected = {"full": Box.of_image(SIZE), "tight": tight_box(box, SIZE), "loose": loose_box(box, scale, SIZE)}
    for key in ("image", "label"):
        assert torch.equal(cropped[key].as_tensor(), whole[key].as_tensor()[(0, *expected[crop].slices)][None])
    assert torch.equal(cropped["image"][0][Box(*cropped["box"].tolist()).slices], whole["image"][0][box.slices])


@given(boxes(), st.sampled_from(CROP_KINDS))
def test_inverted_the_crop_is_where_it_was_and_all_else_is_zero(box: Box, crop: str) -> None:
    chain = Compose([CropToBoxd(["image", "label"], box=crop, allow_missing_keys=True)])
    cropped = chain({"image": item(box)["image"], "box": np.array(box.sides)})
    cropped["pred"] = MetaTensor(torch.ones(cropped["image"].shape))
    back = Invertd("pred", chain, orig_keys="image", nearest_interp=False)(cropped)["pred"]
    crops = {"full": Box.of_image(SIZE), "tight": box, "loose": loose_box(box, 1.5, SIZE)}
    expected = torch.zeros(1, *SIZE)
    expected[(0, *crops[crop].slices)] = 1
    assert torch.equal(back.as_tensor(), expected)


def test_a_part_of_a_chain_is_inverted_to_the_size_of_the_crop() -> None:
    cropping = CropToBoxd("image", box="tight")
    rest = Compose([Resized("image", spatial_size=(16, 16), mode="bilinear")])
    data = rest(cropping({"image": item(None)["image"], "box": np.array([5, 6, 37, 14])}))
    data["pred"] = MetaTensor(torch.ones(1, 16, 16))
    assert Invertd("pred", rest, orig_keys="image", nearest_interp=False)(data)["pred"].shape == (1, 32, 8)


def test_without_a_box_the_image_is_whole() -> None:
    whole = item(None)
    cropped = CropToBoxd(["image", "label"], box="loose")(whole)
    assert torch.equal(cropped["image"], whole["image"])
    assert "box" not in cropped


def test_a_crop_does_not_keep_the_image_in_memory() -> None:
    cropped = CropToBoxd("image", box="tight")(item(Box(0, 0, 4, 4)))["image"]
    assert cropped.as_tensor().untyped_storage().nbytes() == 4 * 4 * 4


@settings(max_examples=200)
@given(boxes((90, 120), least=10), st.floats(1, 2), st.floats(0, 0.4), st.integers(0, 1000))
def test_what_is_kept_for_jitter_holds_the_same_crop_as_the_image(
    box: Box, scale: float, jitter: float, seed: int
) -> None:
    move = RandBoxJitterd(jitter)
    crop_to = CropToBoxd(["image", "label"], loose_scale=scale)
    keep = CropToBoxd(["image", "label"], loose_scale=room_to_jitter(scale, jitter))
    crops = []
    for first in (lambda data: data, keep):
        move.set_random_state(seed)
        crops.append(crop_to(move(first(item(box, (90, 120)))))["image"])
    assert torch.equal(*crops)


@given(boxes(), st.floats(0, 0.49), st.integers(0, 1000))
def test_jitter_moves_each_side_by_its_share_and_leaves_a_box(box: Box, jitter: float, seed: int) -> None:
    move = RandBoxJitterd(jitter)
    move.set_random_state(seed)
    moved = Box(*move({"box": np.array(box.sides)})["box"].tolist())
    rows, columns = jitter * box.height, jitter * box.width
    assert all(
        abs(a - b) <= most for a, b, most in zip(moved.sides, box.sides, (rows, columns, rows, columns), strict=True)
    )
    assert moved.top < moved.bottom
    assert moved.left < moved.right


def test_jitter_reaches_both_ends() -> None:
    move = RandBoxJitterd(0.1)
    move.set_random_state(0)
    tops = {int(move({"box": np.array([50, 50, 80, 90])})["box"][0]) for _ in range(200)}
    assert tops == set(range(47, 54))


def test_what_is_wrong_is_said() -> None:
    with raises_user_error("lose", "full", "tight", "loose", key="box"):
        CropToBoxd("image", box="lose")
    with raises_user_error(0.9, 1, key="loose_scale"):
        CropToBoxd("image", loose_scale=0.9)
    with raises_user_error(0.5, 0, key="box_jitter"):
        RandBoxJitterd(0.5)
    outside = {"image": MetaTensor(torch.zeros(1, *SIZE), meta={"filename_or_obj": "a.png"}), "box": [60, 0, 70, 9]}
    for crop in CROP_KINDS:
        with raises_user_error((60, 0, 70, 9), "60 x 40", path="a.png"):
            CropToBoxd("image", box=crop)(outside)
