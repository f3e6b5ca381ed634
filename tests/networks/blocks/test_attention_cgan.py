"""The blocks of the cGAN against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from bus_monai.networks.blocks.attention import CAW, ChannelAttention
from bus_monai.networks.blocks.convolution import AtrousBlock
from tests.user_errors import raises_user_error


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def attention_by_loops(x: NDArray, beta: float) -> NDArray:
    """DANet as its authors wrote it, the row's maximum included."""
    channels = x.shape[0]
    a = x.reshape(channels, -1)
    out = np.empty_like(a)
    for i in range(channels):
        energy = [sum(p * q for p, q in zip(a[i], a[j], strict=True)) for j in range(channels)]
        powers = [np.exp(max(energy) - e - (max(energy) - min(energy))) for e in energy]
        for n in range(a.shape[1]):
            mixture = sum(powers[j] / sum(powers) * a[j, n] for j in range(channels))
            out[i, n] = beta * mixture + a[i, n]
    return out.reshape(x.shape)


def weighting_by_loops(x: NDArray, block: CAW) -> NDArray:
    first, _, second, _ = block.branches[-1].fc
    (w1, b1), (w2, b2) = ([p.detach().numpy() for p in layer.parameters()] for layer in (first, second))
    squeezed = [float(plane.mean()) for plane in x]
    hidden = [max(sum(w * s for w, s in zip(row, squeezed, strict=True)) + b, 0) for row, b in zip(w1, b1, strict=True)]
    logits = [sum(w * h for w, h in zip(row, hidden, strict=True)) + b for row, b in zip(w2, b2, strict=True)]
    return np.stack([plane / (1 + np.exp(-logit)) for plane, logit in zip(x, logits, strict=True)])


@settings(max_examples=15)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.floats(-2, 2), st.integers(0, 99))
def test_channel_attention(channels: int, height: int, width: int, beta: float, seed: int) -> None:
    torch.manual_seed(seed)
    block = ChannelAttention().double()
    nn.init.constant_(block.beta, beta)
    x = torch.randn(2, channels, height, width, dtype=torch.float64)
    expected = np.stack([attention_by_loops(image, beta) for image in x.numpy()])
    np.testing.assert_allclose(block(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_caw_is_the_sum_of_its_parts(size: tuple[int, int], beta: float) -> None:
    torch.manual_seed(0)
    block = CAW(32).double()
    assert float(block.branches[0].beta.detach()) == 0.0
    nn.init.constant_(block.branches[0].beta, beta)
    x = torch.randn(2, 32, *size, dtype=torch.float64)
    expected = np.stack([attention_by_loops(i, beta) + weighting_by_loops(i, block) for i in x.numpy()])
    np.testing.assert_allclose(block(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    if beta == 0:
        np.testing.assert_allclose(expected, x + block.branches[1](x).detach().numpy(), rtol=1e-10)


def test_caw_modes() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 32, 1, 1)
    both = CAW(32)
    attention, weighting, none = (CAW(32, mode=mode) for mode in ("channel_attention", "channel_weighting", "none"))
    weighting.branches[0].load_state_dict(both.branches[1].state_dict())
    torch.testing.assert_close(attention(x) + weighting(x), both(x))
    assert torch.equal(none(x), x)
    assert [count(CAW(512, mode=m)) for m in ("both", "channel_attention", "channel_weighting", "none")] == [
        33_313,
        1,
        33_312,
        0,
    ]
    with raises_user_error("se", "both", "channel_attention", "channel_weighting", "none", key="caw"):
        CAW(32, mode="se")


def test_atrous_parameters() -> None:
    with torch.device("meta"):
        assert count(AtrousBlock(256, 64)) == 459_008
        assert count(AtrousBlock(256, 256)) == 1_836_032


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(16, 16), (5, 8)])
def test_atrous_branches_in_order(stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    block = AtrousBlock(3, 2, rates=(1, 2, 3), stride=stride).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    y = block(x).detach()
    assert y.shape == (2, block.out_channels, *size) == (2, 8, *size)
    for i, rate in enumerate((1, 2, 3)):
        conv = block.dilated[i][0]
        padded = F.pad(x, [rate] * 4)
        small = sum(
            torch.einsum(
                "oc,bchw->bohw",
                conv.weight[:, :, r, c],
                padded[:, :, r * rate :, c * rate :][:, :, : size[0], : size[1]],
            )
            for r in range(3)
            for c in range(3)
        )[:, :, ::stride, ::stride]
        small = small + conv.bias[:, None, None]
        small = torch.where(small > 0, small, 0.2 * small).detach()
        torch.testing.assert_close(y[:, 2 * i : 2 * i + 2], upsampled(small, size))
    pooled = (
        torch.einsum("oc,bchw->bohw", block.pooled.weight[:, :, 0, 0], x) + block.pooled.bias[:, None, None]
    ).mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(y[:, 6:], pooled.detach().expand(2, 2, *size))


def upsampled(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear interpolation between pixel centers, one axis after the other."""
    for axis, target in zip((2, 3), size, strict=True):
        length = x.shape[axis]
        matrix = torch.zeros(target, length, dtype=x.dtype)
        for i in range(target):
            place = min(max((i + 0.5) * length / target - 0.5, 0), length - 1)
            low = int(place)
            matrix[i, low] += 1 - (place - low)
            matrix[i, min(low + 1, length - 1)] += place - low
        x = torch.tensordot(x, matrix, dims=([axis], [1])).movedim(-1, axis)
    return x


@pytest.mark.parametrize(("rate", "span"), [(1, 3), (6, 13), (9, 19)])
def test_receptive_field_of_each_branch(rate: int, span: int) -> None:
    """One output pixel of stride 1 sees three columns and three rows, ``rate`` apart."""
    block = AtrousBlock(1, 1, rates=[rate], stride=1)
    for p in block.parameters():
        nn.init.constant_(p, 1.0)
    x = torch.zeros(1, 1, 41, 41, requires_grad=True)
    block(x)[0, 0, 20, 20].backward()
    touched = x.grad[0, 0].nonzero()
    assert len(touched) == 9
    assert (touched.amax(0) - touched.amin(0) + 1).tolist() == [span, span]
    x.grad = None
    block(x)[0, 1, 20, 20].backward()
    assert torch.equal(x.grad, torch.full_like(x, 1 / 41**2))
