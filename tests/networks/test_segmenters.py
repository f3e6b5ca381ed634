"""Segmenters by name: options and errors."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from bus_monai.errors import UserError
from bus_monai.networks.segmenters import make_segmenter
from bus_monai.networks.wrappers import Standardised

LIST = (
    "attention_unet, cgan, deeplabv3_plus, erfnet, fcn, mednext, multi_encoder, pspnet, rdau, segnet, swin_unetr, "
    "unet, unet_plus_plus"
)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("deeplab", " (did you mean 'deeplabv3_plus'?)"), ("unet+", " (did you mean 'unet'?)"), ("x", "")],
)
def test_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(
        UserError, match="^" + re.escape(f"There is no network {name!r}{hint}: use one of {LIST}.") + "$"
    ):
        make_segmenter(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "fcn",
            {"depth": 50},
            "The network 'fcn' has no option 'depth': use backbone.",
        ),
        ("unet", {"use_gate": True}, "The network 'unet' has no option 'use_gate': leave its options out."),
        ("pspnet", {"backbone": "resnet34"}, "backbone is 'resnet34': use one of resnet18, resnet50, resnet101."),
    ],
)
def test_wrong_option(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match="^" + re.escape(message) + "$"):
        make_segmenter(name, options)


@pytest.mark.parametrize(
    ("name", "parameters"), [("deeplabv3_plus", 15_461_201), ("pspnet", 11_969_473), ("fcn", 11_766_721)]
)
def test_small_backbone(name: str, parameters: int) -> None:
    net = make_segmenter(name, {"backbone": "resnet18"})
    assert isinstance(net, Standardised)
    assert count(net) == parameters
    assert net(torch.rand(2, 1, 33, 50)).shape == (2, 1, 33, 50)


def test_the_cgan_keeps_its_scale_whatever_the_data() -> None:
    net = make_segmenter("cgan", {"base_width": 16, "ac_channels": 4})
    assert isinstance(net, Standardised)
    net.fit_input_statistics([torch.rand(1, 8, 8)])
    assert (float(net.mean), float(net.std)) == (0.0, 1.0)
