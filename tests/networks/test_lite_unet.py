"""The small U-Net: sizes, exports, gradients, and what presence head and deep supervision add."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bus_monai.networks.lite_unet import LiteUNet
from tests.networks.onnx_session import onnx_session

COUNTS = {"presence_head": 321, "presence_cells": 322, "deep_supervision": 227, "attention": 31_636}
PLAIN = 3_781_777
SIZES = ((64, 64), (65, 77))
OPTIONS = [
    dict(zip(COUNTS, flags, strict=True))
    for flags in itertools.product((False, True), repeat=4)
    # cells without the head are tested apart
    if flags[0] or not flags[1]
]
ALL = OPTIONS[-1]


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return LiteUNet(**ALL).eval()


@pytest.mark.parametrize("options", OPTIONS)
def test_parameters(options: dict[str, bool]) -> None:
    with torch.device("meta"):
        assert count(LiteUNet(**options)) == PLAIN + sum(COUNTS[name] for name, on in options.items() if on)


@pytest.mark.parametrize("size", SIZES)
def test_exports_equal_eager_at_any_size(net: nn.Module, size: tuple[int, int]) -> None:
    x = torch.rand(2, 1, *size)
    with torch.no_grad():
        expected = net(x)
        assert expected.shape == x.shape
        torch.testing.assert_close(torch.jit.script(net)(x), expected, atol=1e-4, rtol=1e-4)
    run = onnx_session(net, torch.rand(1, 1, 64, 96))
    torch.testing.assert_close(run(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({}, 1),
        ({"presence_head": True}, 2),
        ({"presence_cells": True}, 1),
        ({"presence_head": True, "presence_cells": True}, 3),
        ({"deep_supervision": True}, 4),
        (ALL, 6),
    ],
)
def test_channels_while_training(options: dict[str, bool], channels: int) -> None:
    assert LiteUNet(**options).train()(torch.rand(2, 1, 65, 77)).shape == (2, channels, 65, 77)


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    net = LiteUNet(**ALL).train()
    net(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize("bias", [-5.0, -1.0, 0.0, 1.0, 40.0])
def test_logits_are_lowered_by_the_improbability_of_a_lesion(bias: float) -> None:
    torch.manual_seed(0)
    with_head, x = LiteUNet(presence_head=True).eval(), torch.rand(2, 1, 64, 64)
    plain = LiteUNet().eval()
    plain.load_state_dict({k: v for k, v in with_head.state_dict().items() if "presence" not in k})
    with_head.network.presence.weight.data.zero_()
    with_head.network.presence.bias.data.fill_(bias)
    with torch.no_grad():
        lowered = plain(x) - with_head(x)
    expected = torch.tensor(8 / (1 + math.exp(3 * bias)))
    torch.testing.assert_close(lowered, expected.expand_as(lowered), atol=1e-4, rtol=0)


def test_presence_is_the_same_at_every_pixel() -> None:
    torch.manual_seed(0)
    presence = LiteUNet(presence_head=True).train()(torch.rand(2, 1, 65, 77))[:, 1]
    assert torch.equal(presence, presence[:, :1, :1].expand_as(presence))
    assert not torch.equal(presence[0], presence[1])


def test_cells_are_taught_where_they_are_and_the_strongest_speaks_for_the_image() -> None:
    torch.manual_seed(0)
    net, x = LiteUNet(presence_head=True, presence_cells=True).train(), torch.rand(2, 1, 96, 70)
    _, presence, cells = net(x).split(1, dim=1)
    assert torch.equal(cells, cells[:, :, ::32, ::32].repeat_interleave(32, 2).repeat_interleave(32, 3)[..., :70])
    assert cells[:, :, ::32, ::32].unique().numel() == 2 * 3 * 3
    net.network.presence.weight.data.zero_()[0, -1] = 2
    net.network.presence.bias.data.fill_(0.5)
    torch.testing.assert_close(net(x)[:, 1, 0, 0], 2 * cells.amax(dim=(1, 2, 3)) + 0.5)
    assert not torch.equal(presence[0], presence[1])


def test_depthwise_gradients_are_those_of_float32_in_mixed_precision() -> None:
    torch.manual_seed(0)
    (conv,) = (m for m in LiteUNet().modules() if isinstance(m, nn.Conv2d) and (m.in_channels, m.groups) == (144, 144)
               and m.stride == (2, 2))  # fmt: skip
    x = torch.rand(2, 144, 19, 19, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv.train()(x)
    assert y.dtype == torch.bfloat16
    pulled = torch.randn_like(y)
    y.backward(pulled)
    weight = conv.weight.detach().requires_grad_()
    F.conv2d(x.float(), weight, stride=2, groups=144).backward(pulled.float())
    torch.testing.assert_close(conv.weight.grad, weight.grad)
