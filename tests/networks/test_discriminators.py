"""Discriminator of masks: published count and map."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from monai.networks.nets.patchgan_discriminator import PatchDiscriminator as MONAIDiscriminator
from torch import nn

from bus_monai.networks.discriminators import MaskDiscriminator, PatchDiscriminator, RDACritic
from tests.user_errors import raises_user_error


def test_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in MaskDiscriminator().parameters()) == 2_762_689


@pytest.mark.parametrize(("size", "map_size"), [((320, 320), (10, 10)), ((32, 63), (1, 1)), ((100, 128), (3, 4))])
def test_map_of_logits(size: tuple[int, int], map_size: tuple[int, int]) -> None:
    with torch.device("meta"):
        assert MaskDiscriminator()(torch.rand(2, 1, *size)).shape == (2, 1, *map_size)


@pytest.mark.parametrize(
    ("base_width", "in_channels", "parameters"), [(64, 2, 2_765_505), (32, 2, 694_625), (64, 1, 2_765_505 - 1024)]
)
@pytest.mark.parametrize("tail_padding", [0, 1])
def test_parameters_patch_discriminator(base_width: int, in_channels: int, parameters: int, tail_padding: int) -> None:
    with torch.device("meta"):
        net = PatchDiscriminator(in_channels=in_channels, base_width=base_width, tail_padding=tail_padding)
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize(
    ("tail_padding", "size", "expected"),
    [
        (0, (128, 128), (10, 10)),
        (1, (256, 256), (30, 30)),
        (1, (128, 128), (14, 14)),
        (1, (96, 96), (10, 10)),
        (0, (256, 256), (26, 26)),
        (0, (56, 131), (1, 10)),
        (1, (24, 31), (1, 1)),
    ],
)
def test_maps(tail_padding: int, size: tuple[int, int], expected: tuple[int, int]) -> None:
    with torch.device("meta"):
        net = PatchDiscriminator(base_width=4, tail_padding=tail_padding)
        assert net(torch.empty(3, 2, *size)).shape == (3, 1, *expected)


def test_each_score_sees_70_pixels() -> None:
    torch.manual_seed(0)
    net = PatchDiscriminator(in_channels=1, base_width=2).eval()
    x = torch.rand(1, 1, 128, 128, requires_grad=True)
    net(x)[0, 0, 4, 4].backward()
    touched = x.grad[0, 0].nonzero()
    assert (touched.amax(0) - touched.amin(0) + 1).tolist() == [70, 70]


def test_with_padding_it_is_that_of_monai() -> None:
    torch.manual_seed(0)
    ours = PatchDiscriminator(base_width=4, tail_padding=1).eval()
    theirs = MONAIDiscriminator(spatial_dims=2, channels=4, in_channels=2, num_layers_d=3, norm="BATCH").eval()
    pairs = [[m for m in net.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)] for net in (ours, theirs)]
    for source, target in zip(*pairs, strict=True):
        target.load_state_dict({k: v for k, v in source.state_dict().items() if k in target.state_dict()})
    x = torch.rand(2, 2, 64, 72)
    torch.testing.assert_close(ours(x), theirs(x)[-1])


def test_scores_are_logits() -> None:
    torch.manual_seed(0)
    net = PatchDiscriminator(base_width=2).eval()
    nn.init.constant_(net.layers[-1].bias, 7.0)
    assert float(net(torch.rand(1, 2, 64, 64)).detach().min()) > 1


def test_parameters_rda_critic() -> None:
    # 4,716,417 of a batch norm that scales, less its scales
    assert sum(p.numel() for p in RDACritic().parameters()) == 4_716_417 - 2 * (32 + 64 + 128 + 256 + 512)


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm2d), ("layer", nn.GroupNorm)])
def test_convolution_then_norm_then_activation_as_in_the_parents_code(norm: str, kind: type[nn.Module]) -> None:
    layers = [layer for layer in RDACritic(norm=norm).features if not isinstance(layer, nn.MaxPool2d)]
    assert [type(layer) for layer in layers] == [nn.Conv2d, kind, nn.LeakyReLU] * 10


def test_shapes_of_the_published_table() -> None:
    critic = RDACritic().eval()
    x = torch.rand(1, 2, 128, 128)
    shapes = []
    for layer in critic.features:
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            shapes.append(tuple(x.shape[1:]))
    assert [*shapes, tuple(x.shape[1:])] == [(32, 32, 32), (64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 2, 2)]
    assert critic(torch.rand(3, 2, 128, 128)).shape == (3, 1)


def test_scores_are_not_squashed() -> None:
    """A Wasserstein critic has no sigmoid: its scores leave [0, 1]."""
    torch.manual_seed(0)
    critic = RDACritic().eval()
    nn.init.constant_(critic.head.bias, 7.0)
    assert float(critic(torch.rand(1, 2, 64, 64)).detach()) > 1


@pytest.mark.parametrize("make", [RDACritic, partial(PatchDiscriminator, base_width=4)])
def test_with_layer_norm_a_score_does_not_depend_on_the_rest_of_the_batch(make: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    critic = make(norm="layer").train()
    x = torch.rand(4, 2, 64, 64)
    torch.testing.assert_close(critic(x)[:1], critic(x[:1]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("make", [RDACritic, PatchDiscriminator])
def test_unknown_norm_is_named(make: Callable[..., nn.Module]) -> None:
    with raises_user_error("none", "batch", "layer", key="critic_norm"):
        make(norm="none")


@pytest.mark.parametrize(
    ("net", "side"),
    [
        (MaskDiscriminator(), 32),
        (PatchDiscriminator(in_channels=1, base_width=2), 56),
        (PatchDiscriminator(in_channels=1, base_width=2, tail_padding=1), 24),
        (RDACritic(in_channels=1, norm="layer"), 59),
    ],
)
def test_the_smallest_image_is_scored_and_a_smaller_one_named(net: nn.Module, side: int) -> None:
    with torch.no_grad():
        assert net(torch.rand(1, 1, side, side)).isfinite().all()
        with raises_user_error(side, side - 1, key="image_size"):
            net(torch.rand(1, 1, side, side - 1))
