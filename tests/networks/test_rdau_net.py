"""RDAU-NET: published counts, shapes, ablations, export."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bus_monai.networks.blocks.attention import AttentionGate
from bus_monai.networks.blocks.convolution import DilatedModule
from bus_monai.networks.rdau_net import RDAUNet
from bus_monai.networks.segmenters import make_segmenter
from tests.networks.onnx_session import onnx_session
from tests.user_errors import raises_user_error


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def net() -> RDAUNet:
    torch.manual_seed(0)
    return RDAUNet().eval()


def test_parameters_part_by_part() -> None:
    parent = RDAUNet(gate_post_bn=True)
    parts = [parent.encoder, parent.bottleneck, parent.gates, parent.decoder, parent.head]
    assert [count(part) for part in parts] == [9_877_024, 4_130_304, 374_799, 9_697_376, 33]
    assert count(parent) == 24_079_536


def test_default_gate_is_without_the_second_norm(net: RDAUNet) -> None:
    assert count(net) == 24_079_526


def test_dilation_after_the_decoder_costs_what_the_spec_says() -> None:
    both, bottleneck = RDAUNet(dilated_position="both"), RDAUNet()
    assert count(both) - count(bottleneck) == 55_488


@pytest.mark.parametrize("size", [(128, 128), (127, 65), (33, 200), (1, 1)])
def test_any_size(net: RDAUNet, size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert net(torch.rand(2, 1, *size)).shape == (2, 1, *size)


@pytest.mark.parametrize(
    "options",
    [
        {"use_gate": False},
        {"use_residual": False},
        {"gate_post_bn": True},
        {"dilated_position": "after_decoder"},
        {"dilated_position": "both"},
        {"dilated_position": "none"},
        {"dilated_mode": "parallel"},
        {"dilated_rates": [1, 2]},
    ],
)
def test_every_ablation_trains_every_parameter(options: dict) -> None:
    torch.manual_seed(0)
    net = RDAUNet(**options)
    net(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_shapes_of_the_published_table(net: RDAUNet) -> None:
    shapes: list[tuple[int, ...]] = []
    handles = [m.register_forward_hook(lambda _m, _a, out: shapes.append(tuple(out.shape[1:]))) for m in net.encoder]
    handles += [net.bottleneck.register_forward_hook(lambda _m, _a, out: shapes.append(tuple(out.shape[1:])))]
    handles += [m.register_forward_hook(lambda _m, _a, out: shapes.append(tuple(out.shape[1:]))) for m in net.decoder]
    with torch.no_grad():
        net(torch.rand(1, 1, 128, 128))
    for handle in handles:
        handle.remove()
    down = [(32, 128, 128), (64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4)]
    up = [(512, 8, 8), (256, 16, 16), (128, 32, 32), (64, 64, 64), (32, 128, 128)]
    assert shapes == [*down, (256, 4, 4), *up]


def test_wrong_options_are_named() -> None:
    with raises_user_error("middle", "bottleneck", "after_decoder", "both", "none", key="dilated_position"):
        RDAUNet(dilated_position="middle")
    with raises_user_error("serial", "cascade", "parallel", key="dilated_mode"):
        RDAUNet(dilated_mode="serial")


@pytest.mark.parametrize(
    ("mode", "expected"), [("cascade", [3, 7, 15, 31, 63, 127]), ("parallel", [3, 5, 9, 17, 33, 65])]
)
def test_receptive_fields_of_the_dilated_module(mode: str, expected: list[int]) -> None:
    """Those printed in the paper are those of a cascade."""
    rates = (1, 2, 4, 8, 16, 32)
    module = DilatedModule(1, 1, rates=rates, mode=mode)
    for p in module.parameters():
        nn.init.constant_(p, 1.0)
    seen = []
    for depth in range(1, len(rates) + 1):
        module_part = DilatedModule(1, 1, rates=rates[:depth], mode=mode)
        module_part.load_state_dict({k: v for k, v in module.state_dict().items() if int(k.split(".")[1]) < depth})
        x = torch.zeros(1, 1, 1, 201, requires_grad=True)
        module_part(x)[0, 0, 0, 100].backward()
        touched = x.grad[0, 0, 0].nonzero().flatten()
        seen.append(int(touched.max() - touched.min()) + 1)
    assert seen == expected


def test_gate_against_its_formula() -> None:
    torch.manual_seed(1)
    gate = AttentionGate(3, 4, 2).double().eval()
    for module in gate.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    g, x = torch.randn(1, 3, 5, 6).double(), torch.randn(1, 4, 5, 6).double()

    def project(block: nn.Sequential, vector: np.ndarray) -> np.ndarray:
        conv, _, norm = block
        y = np.maximum(conv.weight.detach().numpy()[:, :, 0, 0] @ vector + conv.bias.detach().numpy(), 0)
        scale = norm.weight.detach().numpy() / np.sqrt(norm.running_var.numpy() + norm.eps)
        return (y - norm.running_mean.numpy()) * scale + norm.bias.detach().numpy()

    out = gate(g, x).detach().numpy()
    for row in range(5):
        for column in range(6):
            gv, xv = g[0, :, row, column].numpy(), x[0, :, row, column].numpy()
            c = np.maximum(project(gate.project_gating, gv) + project(gate.project_skip, xv), 0)
            d = project(gate.reduce, c)
            last = gate.alpha[0]
            logit = last.weight.detach().numpy()[:, :, 0, 0] @ d + last.bias.detach().numpy()
            np.testing.assert_allclose(out[0, :, row, column], xv / (1 + np.exp(-logit)), rtol=1e-10)


def test_torchscript_equals_eager() -> None:
    torch.manual_seed(0)
    net = make_segmenter("rdau").eval()
    script = torch.jit.script(net)
    for size in ((128, 128), (90, 61)):
        x = torch.rand(2, 1, *size)
        with torch.no_grad():
            torch.testing.assert_close(script(x), net(x), atol=1e-4, rtol=0)


def test_onnx_equals_eager_at_any_size() -> None:
    torch.manual_seed(0)
    net = make_segmenter("rdau").eval()
    run = onnx_session(net, torch.rand(2, 1, 128, 128))
    for size in ((128, 128), (96, 75)):
        x = torch.rand(1, 1, *size)
        with torch.no_grad():
            torch.testing.assert_close(run(x), net(x), atol=1e-4, rtol=1e-7)


def test_golden_output() -> None:
    """A change of this number is a change of the network: old weights would no longer fit."""
    torch.manual_seed(0)
    net = RDAUNet().eval()
    x = torch.linspace(0, 1, 64 * 64).reshape(1, 1, 64, 64)
    with torch.no_grad():
        y = net(x)
    assert float(y.mean()) == pytest.approx(0.066064, abs=1e-4)
