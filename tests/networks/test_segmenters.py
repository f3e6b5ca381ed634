"""Segmenters by name: options and errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bus_monai.networks.segmenters import SEGMENTER_NAMES, make_segmenter
from bus_monai.networks.wrappers import Standardized
from tests.user_errors import raises_user_error


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("deeplab", "'deeplabv3_plus'"), ("unet+", "'unet'"), ("x", "x")],
)
def test_unknown_name(name: str, hint: str) -> None:
    with raises_user_error(name, hint, *SEGMENTER_NAMES, key="network_name"):
        make_segmenter(name)


@pytest.mark.parametrize(
    ("name", "options", "key", "named"),
    [
        ("fcn", {"depth": 50}, "depth", ["fcn", "in_channels", "backbone"]),
        ("unet", {"use_gate": True}, "use_gate", ["unet", "features"]),
        ("pspnet", {"backbone": "resnet34"}, "backbone", ["resnet34", "resnet18", "resnet50", "resnet101"]),
    ],
)
def test_wrong_option(name: str, options: dict[str, Any], key: str, named: list[object]) -> None:
    with raises_user_error(*named, key=key):
        make_segmenter(name, options)


@pytest.mark.parametrize(
    ("name", "parameters"), [("deeplabv3_plus", 15_461_201), ("pspnet", 11_969_473), ("fcn", 11_766_721)]
)
def test_small_backbone(name: str, parameters: int) -> None:
    net = make_segmenter(name, {"backbone": "resnet18"})
    assert isinstance(net, Standardized)
    assert count(net) == parameters
    assert net(torch.rand(2, 1, 33, 50)).shape == (2, 1, 33, 50)


def test_the_cgan_keeps_its_scale_whatever_the_data() -> None:
    net = make_segmenter("cgan", {"base_width": 16, "ac_channels": 4})
    assert isinstance(net, Standardized)
    net.fit_input_statistics([torch.rand(1, 8, 8)])
    assert (float(net.mean), float(net.std)) == (0.0, 1.0)
