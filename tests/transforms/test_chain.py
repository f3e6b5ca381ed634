"""Chains from parts, and what is kept of them."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import torch
from monai.data.dataset import CacheDataset
from monai.data.meta_obj import get_track_meta
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import set_rnd
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import RandScaleIntensityd
from monai.transforms.spatial.dictionary import RandAffined, RandZoomd
from monai.transforms.utility.dictionary import Lambdad

from bus_monai.transforms.chain import PlainCacheDataset, chain
from bus_monai.transforms.scanner import RandLetterboxd, RandSpeckled

FIRST, SECOND = Lambdad("image", lambda x: x + 1), Lambdad("image", lambda x: 2 * x)


def test_parts_in_their_order_without_those_left_out() -> None:
    steps = chain([FIRST, None, [SECOND, None], Compose([FIRST, Compose([SECOND])])])
    assert steps.transforms == (FIRST, SECOND, FIRST, SECOND)
    assert steps({"image": 1}) == {"image": 10}


def test_what_is_deterministic_is_cached() -> None:
    count = Mock(side_effect=lambda x: x)
    augmented = chain([chain([Lambdad("image", count)]), RandScaleIntensityd("image", 0.1)])
    dataset = PlainCacheDataset([{"image": torch.ones(1)}], augmented, progress=False)
    _ = dataset[0], dataset[0]
    assert count.call_count == 1


@pytest.mark.parametrize("kept", [2, 0])
def test_plain_items_are_those_of_monai(kept: int) -> None:
    keys, modes = ["image", "label"], ["bilinear", "nearest"]
    steps = chain(
        [
            Lambdad(keys, lambda x: x * get_track_meta()),
            RandZoomd(keys, prob=1.0, min_zoom=0.5, max_zoom=2.0, mode=["bilinear", "nearest-exact"]),
            RandAffined(keys, prob=1.0, rotate_range=0.3, translate_range=2.0, scale_range=0.2, mode=modes),
            RandLetterboxd(keys, prob=1.0, mode=["bilinear", "nearest-exact"]),
            RandSpeckled("image", prob=1.0),
            Lambdad("image", lambda x: x.clamp(0, 1)),
        ]
    )
    data = [{"image": MetaTensor(torch.rand(1, 12, 16)), "label": MetaTensor(torch.ones(1, 12, 16))} for _ in range(2)]
    with_metadata = CacheDataset(data, steps, progress=False)
    plain = PlainCacheDataset(data, steps, cache_num=kept, progress=False)
    for turn in range(2):
        set_rnd(with_metadata, seed=turn)
        wanted = list(with_metadata)
        set_rnd(plain, seed=turn)
        for item, like in zip(plain, wanted, strict=True):
            assert {type(item[key]) for key in keys} == {torch.Tensor}
            assert all(torch.equal(item[key], like[key].as_tensor()) for key in keys)
    assert get_track_meta()
