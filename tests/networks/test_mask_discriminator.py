"""Discriminator of masks: published count and map."""

from __future__ import annotations

import pytest
import torch

from bus_monai.networks.mask_discriminator import MaskDiscriminator


def test_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in MaskDiscriminator().parameters()) == 2_762_689


@pytest.mark.parametrize(("size", "map_size"), [((320, 320), (10, 10)), ((32, 63), (1, 1)), ((100, 128), (3, 4))])
def test_map_of_logits(size: tuple[int, int], map_size: tuple[int, int]) -> None:
    with torch.device("meta"):
        assert MaskDiscriminator()(torch.rand(2, 1, *size)).shape == (2, 1, *map_size)
