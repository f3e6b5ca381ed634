"""Crops are where their box says, go back to their place, and keep their box and no more of the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Invertd
from monai.transforms.spatial.dictionary import Resized

from bus_monai.geometry.box import Box, lesion_crop, loose_box, tight_box
from bus_monai.transforms.crop import CROP_KINDS, LESION_SHARES, CropToBoxd, RandBoxJitterd, room_to_jitter
from tests.user_errors import raises_user_error

SIZE = (60, 40)


def item(box: Box | None, size: tuple[int, int] = SIZE) -> dict:
    image = MetaTensor(torch.arange(size[0] * size[1], dtype=torch.float32).reshape(1, *size))
    label = MetaTensor((image.as_tensor() % 3 == 0).float())
    return {"image": image, "label": label} | ({} if box is None else boxed(box))


def boxed(box: Box) -> dict:
    """A lesion that fills its box."""
    return {"box": np.array(box.sides), "lesion_px": box.area, "id": "a_m1"}


def crop_of(kind: str, box: Box, scale: float) -> Box:
    # crc32 of the id over 2**32, between the two shares
    drawn = 0.15 + 0.2 * 0.26835937
    return {
        "full": Box.of_image(SIZE),
        "tight": tight_box(box, SIZE),
        "loose": loose_box(box, scale, SIZE),
        "lesion_crops": lesion_crop(box, box.area, drawn, SIZE),
    }[kind]


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
    expected = crop_of(crop, box, scale)
    for key in ("image", "label"):
        assert torch.equal(cropped[key].as_tensor(), whole[key].as_tensor()[(0, *expected.slices)][None])
    assert torch.equal(cropped["image"][0][Box(*cropped["box"].tolist()).slices], whole["image"][0][box.slices])


@given(boxes(), st.sampled_from(CROP_KINDS))
def test_inverted_the_crop_is_where_it_was_and_all_else_is_zero(box: Box, crop: str) -> None:
    chain = Compose([CropToBoxd(["image", "label"], box=crop, allow_missing_keys=True)])
    cropped = chain({"image": item(box)["image"], **boxed(box)})
    cropped["pred"] = MetaTensor(torch.ones(cropped["image"].shape))
    back = Invertd("pred", chain, orig_keys="image", nearest_interp=False)(cropped)["pred"]
    expected = torch.zeros(1, *SIZE)
    expected[(0, *crop_of(crop, box, 1.5).slices)] = 1
    assert torch.equal(back.as_tensor(), expected)


@pytest.mark.parametrize("size", [(300, 400), (400, 300)])
def test_a_lesion_covers_15_to_35_percent_of_its_crop(size: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: size[0], : size[1]]
    # an ellipse of the median shape of a lesion
    mask = ((rows - 140) / 30) ** 2 + ((columns - 150) / 45) ** 2 < 1
    shares = []
    for number in range(200):
        label = MetaTensor(torch.from_numpy(mask)[None].float())
        data = {
            "label": label,
            "box": np.array(Box.from_mask(mask).sides),
            "lesion_px": mask.sum(),
            "id": f"c_m{number}",
        }
        cropped = CropToBoxd("label", box="lesion_crops")(data)["label"]
        assert cropped.shape[1] == cropped.shape[2]
        assert cropped.sum() == mask.sum()
        shares.append(float(cropped.mean()))
    least, most = LESION_SHARES
    assert least - 0.005 < min(shares) < least + 0.01
    assert most - 0.01 < max(shares) < most + 0.005
    assert np.mean(shares) == pytest.approx(0.25, abs=0.01)


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
