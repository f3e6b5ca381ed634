"""The critic: published counts, and what the gradient penalty needs of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bus_monai.errors import UserError
from bus_monai.networks.rda_critic import RDACritic


def test_parameters() -> None:
    assert sum(p.numel() for p in RDACritic().parameters()) == 4_716_417


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


def test_with_layer_norm_a_score_does_not_depend_on_the_rest_of_the_batch() -> None:
    torch.manual_seed(0)
    critic = RDACritic(norm="layer").train()
    x = torch.rand(4, 2, 64, 64)
    torch.testing.assert_close(critic(x)[:1], critic(x[:1]), atol=1e-5, rtol=1e-4)


def test_unknown_norm_is_named() -> None:
    with pytest.raises(UserError, match=r"^critic_norm is 'none': use one of batch, layer.$"):
        RDACritic(norm="none")
