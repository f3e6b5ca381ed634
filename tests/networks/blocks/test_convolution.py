"""Blocks written anew for export, against those they stand in for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.nets import swin_unetr as monai_swin
from monai.networks.nets.mednext import MedNeXtSmall
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.blocks.convolution import InstanceNorm, adaptive_mean
from bus_monai.networks.mednext import MedNeXt
from bus_monai.networks.segnet import _unpool
from bus_monai.networks.swin_unetr import SwinUNETR


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 7))
@settings(max_examples=60)
def test_adaptive_mean(height: int, width: int, bins: int) -> None:
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    torch.testing.assert_close(adaptive_mean(x, bins), F.adaptive_avg_pool2d(x, bins))


def test_instance_norm() -> None:
    torch.manual_seed(0)
    x = 5 + 2 * torch.randn(2, 3, 7, 9)
    torch.testing.assert_close(InstanceNorm()(x), nn.InstanceNorm2d(3)(x), atol=1e-5, rtol=0)


def test_unpooling() -> None:
    torch.manual_seed(0)
    pooled, place = F.max_pool2d_with_indices(torch.randn(2, 3, 8, 12), (2, 2), (2, 2))
    assert torch.equal(_unpool(pooled, place), F.max_unpool2d(pooled, place, 2))


def test_mednext_is_that_of_monai() -> None:
    torch.manual_seed(0)
    ours, theirs = MedNeXt().eval(), MedNeXtSmall(spatial_dims=2, in_channels=1, out_channels=1).eval()
    theirs.load_state_dict(ours.network.state_dict())
    x = torch.rand(1, 1, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("size", [(128, 128), (128, 256)])
def test_swin_unetr_is_that_of_monai(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def rearrange(x: Tensor, pattern: str) -> Any:
        before, after = (side.split() for side in pattern.split("->"))
        return x.permute([before.index(axis) for axis in after])

    # MONAI takes it from a package that is not needed otherwise
    monkeypatch.setattr(monai_swin, "rearrange", rearrange)
    torch.manual_seed(0)
    ours, theirs = SwinUNETR().eval(), monai_swin.SwinUNETR(1, 1, spatial_dims=2, feature_size=24).eval()
    theirs.load_state_dict(ours.network.state_dict())
    x = torch.rand(1, 1, *size)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=2e-4, rtol=0)
