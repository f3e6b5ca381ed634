"""The generator of both cGANs: counts, shapes, ablations, export."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bus_monai.networks.cgan_generator import CGANGenerator
from tests.networks.onnx_session import onnx_session
from tests.user_errors import raises_user_error

PLAIN = {"use_ac": False, "caw": "none"}
MAMMOGRAM = {"depth": 8, "use_ac": False, "caw": "none", "bottleneck_norm": False}
SMALL = {"depth": 5, "base_width": 8, "ac_channels": 4}


@pytest.fixture(scope="module")
def net() -> CGANGenerator:
    """Small, with running statistics and weights that let every part through."""
    return lively(CGANGenerator(**SMALL))


def lively(net: CGANGenerator) -> CGANGenerator:
    torch.manual_seed(0)
    for p in net.parameters():
        nn.init.uniform_(p, -0.2, 0.3)
    return net.eval()


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (PLAIN, 41_828_353),
        ({"caw": "none"}, 49_955_841),
        ({"use_ac": False}, 41_861_666),
        ({}, 49_989_154),
        ({"ac_channels": 64, "caw": "none"}, 41_828_353 + 459_008),
        ({**PLAIN, "bottleneck_norm": False}, 41_828_353 - 1024),
        (MAMMOGRAM, 54_413_313),
        ({**MAMMOGRAM, "base_width": 32}, 13_607_937),
    ],
)
def test_parameters(options: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in CGANGenerator(**options).parameters()) == parameters


@pytest.mark.parametrize(
    ("options", "size", "down", "up"),
    [
        ({}, 128, [64, 32, 16, 8, 4, 2, 1], [2, 4, 8, 16, 32, 64]),
        (MAMMOGRAM, 256, [128, 64, 32, 16, 8, 4, 2, 1], [2, 4, 8, 16, 32, 64, 128]),
    ],
)
def test_shapes_of_the_published_tables(options: dict[str, Any], size: int, down: list[int], up: list[int]) -> None:
    with torch.device("meta"):
        core = CGANGenerator(**options).network.network
        seen: list[tuple[int, ...]] = []
        for stage in [*core.encoder, *core.decoder]:
            stage.register_forward_hook(lambda _m, _a, out: seen.append(tuple(out.shape[1:])))
        core(torch.empty(2, 1, size, size))
    widths = [64, 128, 256, *[512] * (len(down) - 3)]
    assert seen[: len(down)] == [(w, s, s) for w, s in zip(widths, down, strict=True)]
    assert seen[len(down) :] == [(w, s, s) for w, s in zip(widths[-2::-1], up, strict=True)]


def test_order_of_the_layers() -> None:
    """The norm is missing where it is said to be, the dropout is in the three innermost stages of the decoder."""
    with torch.device("meta"):
        core, mammogram = (CGANGenerator(**options).network.network for options in ({}, MAMMOGRAM))
    names = ["".join(type(m).__name__[0] for m in stage) for stage in core.encoder]
    assert names == ["CL", "CBL", "CBL", "ACBL", "CBL", "CBL", "CBL"]
    names = ["".join(type(m).__name__[0] for m in stage) for stage in mammogram.encoder]
    assert names == ["CL", "CBL", "CBL", "CBL", "CBL", "CBL", "CBL", "CL"]
    assert [stage[2].p for stage in core.decoder] == [0.5, 0.5, 0.5, 0.0, 0.0, 0.0]


def test_logits_are_twice_what_goes_into_tanh(net: CGANGenerator) -> None:
    x = torch.rand(2, 1, 32, 64)
    with torch.no_grad():
        u = net.network.network(2 * x - 1)
        torch.testing.assert_close(net(x).sigmoid(), (u.tanh() + 1) / 2)


def test_decoder_against_its_formula(net: CGANGenerator) -> None:
    core = net.network.network
    with torch.no_grad():
        x = 2 * torch.rand(1, 1, 32, 32) - 1
        e1 = core.encoder[0](x)
        e2 = core.encoder[1](e1)
        e3 = core.encoder[2](e2)
        e4 = core.encoder[3](e3)
        e5 = core.bottleneck(core.encoder[4](e4))
        y = torch.cat([core.decoder[0](e5), e4], 1).relu()
        y = torch.cat([core.decoder[1](y), e3], 1).relu()
        y = torch.cat([core.decoder[2](y), e2], 1).relu()
        y = torch.cat([core.decoder[3](y), e1], 1).relu()
        torch.testing.assert_close(core(x), core.head(y))


@pytest.mark.parametrize(
    "options",
    [
        {"use_ac": False},
        {"ac_rates": [1, 2, 3]},
        {"ac_stride": 1},
        {"caw": "none"},
        {"caw": "channel_attention"},
        {"caw": "channel_weighting"},
        {"skip_mode": "add"},
        {"skip_mode": "none"},
        {"bottleneck_norm": False},
        {"dropout": 0.0},
        {"depth": 4},
    ],
)
def test_every_ablation_trains_every_parameter(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = CGANGenerator(**{**SMALL, **options})
    y = net(torch.rand(2, 1, 33, 40))
    assert y.shape == (2, 1, 33, 40)
    y.square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_dropout_is_the_noise(net: CGANGenerator) -> None:
    x = torch.rand(1, 1, 32, 32)
    core = net.network.network
    with torch.no_grad():
        assert torch.equal(net(x), net(x))
        for stage in core.decoder:
            stage[2].train()
        first, second = net(x), net(x)
        for stage in core.decoder:
            stage[2].eval()
    assert not torch.equal(first, second)


def test_start_values() -> None:
    torch.manual_seed(0)
    net = CGANGenerator(depth=5, base_width=16, ac_channels=16)
    weights = torch.cat(
        [m.weight.detach().flatten() for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    )
    gains = torch.cat([m.weight.detach() for m in net.modules() if isinstance(m, nn.BatchNorm2d)])
    assert float(weights.mean()) == pytest.approx(0, abs=5e-4)
    assert float(weights.std()) == pytest.approx(0.02, abs=5e-4)
    assert float(gains.mean()) == pytest.approx(1, abs=5e-3)
    assert float(gains.std()) == pytest.approx(0.02, abs=5e-3)
    biases = [m.bias for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)]
    assert all(not bool(bias.any()) for bias in biases)


def test_torchscript_and_onnx_equal_eager_at_any_size(net: CGANGenerator) -> None:
    script = torch.jit.script(net)
    run = onnx_session(net, torch.rand(2, 1, 32, 32))
    for size in ((32, 32), (65, 77)):
        x = torch.rand(1, 1, *size)
        with torch.no_grad():
            expected = net(x)
            torch.testing.assert_close(script(x), expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(run(x), expected, atol=1e-4, rtol=1e-5)


def test_wrong_options_are_named() -> None:
    with raises_user_error("sum", "concat", "add", "none", key="skip_mode"):
        CGANGenerator(skip_mode="sum")
    with raises_user_error(3, 4, key="depth"):
        CGANGenerator(depth=3)


@pytest.mark.parametrize(("options", "mean", "std"), [({}, -7.3857e-4, 5.57708e-3), (MAMMOGRAM, 7.4166e-5, 6.81297e-3)])
def test_golden_output(options: dict[str, Any], mean: float, std: float) -> None:
    """A change of these numbers is a change of the network: old weights would no longer fit."""
    torch.manual_seed(0)
    net = CGANGenerator(**{**options, "base_width": 16}).eval()
    size = 2 ** options.get("depth", 7)
    with torch.no_grad():
        y = net(torch.linspace(0, 1, size * size).reshape(1, 1, size, size))
    assert (float(y.mean()), float(y.std())) == pytest.approx((mean, std), abs=1e-6)
