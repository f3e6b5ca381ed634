"""Chains from parts."""

from __future__ import annotations

from unittest.mock import Mock

import torch
from monai.data.dataset import CacheDataset
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import RandScaleIntensityd
from monai.transforms.utility.dictionary import Lambdad

from bus_monai.transforms.chain import chain

FIRST, SECOND = Lambdad("image", lambda x: x + 1), Lambdad("image", lambda x: 2 * x)


def test_parts_in_their_order_without_those_left_out() -> None:
    steps = chain([FIRST, None, [SECOND, None], Compose([FIRST, Compose([SECOND])])])
    assert steps.transforms == (FIRST, SECOND, FIRST, SECOND)
    assert steps({"image": 1}) == {"image": 10}


def test_what_is_deterministic_is_cached() -> None:
    count = Mock(side_effect=lambda x: x)
    augmented = chain([chain([Lambdad("image", count)]), RandScaleIntensityd("image", 0.1)])
    dataset = CacheDataset([{"image": torch.ones(1)}], augmented, progress=False)
    _ = dataset[0], dataset[0]
    assert count.call_count == 1
