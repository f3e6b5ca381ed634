"""The objectives against hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bus_monai.losses.adversarial import GAN_MODES, WassersteinGPObjective, make_objective
from bus_monai.networks.discriminators import RDACritic
from tests.user_errors import raises_user_error

REAL, FAKE = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [3.0]])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_bce() -> None:
    objective = make_objective("bce")
    d = (softplus(-2) + softplus(0)) / 2 + (softplus(-1) + softplus(3)) / 2
    assert float(objective.discriminator_loss(REAL, FAKE)) == pytest.approx(d, abs=1e-6)
    assert float(objective.generator_loss(FAKE)) == pytest.approx((softplus(1) + softplus(-3)) / 2, abs=1e-6)
    assert float(objective.measure(REAL, FAKE)) == 0.5  # one of two real ones, one of two fake ones


def test_one_sided_label_smoothing() -> None:
    objective = make_objective("bce", real_label=0.9)
    real = (0.9 * softplus(-2) + 0.1 * softplus(2) + softplus(0)) / 2
    assert float(objective.discriminator_loss(REAL, FAKE)) == pytest.approx(
        real + (softplus(-1) + softplus(3)) / 2, abs=1e-6
    )
    assert float(objective.generator_loss(FAKE)) == float(make_objective("bce").generator_loss(FAKE))
    with raises_user_error(0.5, 1, key="real_label"):
        make_objective("bce", real_label=0.5)


def test_wasserstein() -> None:
    objective = make_objective("wgan", clip_value=0.02)
    assert float(objective.discriminator_loss(REAL, FAKE)) == 0.0
    assert float(objective.generator_loss(FAKE)) == -1.0
    assert float(objective.measure(REAL, FAKE)) == 0.0
    net = nn.Linear(3, 3)
    objective.after_discriminator_step(net)
    assert float(net.weight.detach().abs().max()) <= 0.02
    norm = nn.BatchNorm2d(2)
    nn.init.constant_(norm.weight, 3.0)
    objective.after_discriminator_step(norm)
    assert norm.weight.tolist() == [1.0, 1.0]


def test_gradient_penalty_of_a_linear_critic() -> None:
    """The gradient of ``w . x`` is ``w`` everywhere, so the penalty is known."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 1))
    nn.init.constant_(net[1].weight, 0.5)
    penalty = WassersteinGPObjective(weight=10).penalty(net, torch.rand(3, 2, 2, 2), torch.rand(3, 2, 2, 2))
    assert float(penalty.detach()) == pytest.approx(10 * (math.sqrt(8 * 0.25) - 1) ** 2, rel=1e-5)
    before = net[1].weight.clone()
    WassersteinGPObjective().after_discriminator_step(net)
    assert torch.equal(before, net[1].weight)


def test_the_gradient_penalty_is_of_the_mean_over_the_patches() -> None:
    """A mean score of 9 patches over 4 pixels each, whose gradient is 1 / 6 in each of the 36 pixels, pays nothing."""
    critic = nn.Conv2d(1, 1, 2, stride=2, bias=False)
    nn.init.constant_(critic.weight, 9 / 6)
    images = torch.rand(2, 1, 6, 6)
    assert critic(images).shape == (2, 1, 3, 3)
    assert float(WassersteinGPObjective().penalty(critic, images, 1 - images)) == pytest.approx(0, abs=1e-10)


def test_parent_literal_lowers_realism() -> None:
    """The sign error of the parent code: better fakes cost the generator more."""
    objective = make_objective("parent_literal")
    assert objective.generator_loss(torch.tensor([3.0])) > objective.generator_loss(torch.tensor([-3.0]))
    assert make_objective("bce").generator_loss(torch.tensor([3.0])) < 0.1


def test_none_is_no_objective() -> None:
    assert make_objective("none") is None


def test_unknown_mode_is_named_with_the_closest() -> None:
    with raises_user_error("wgan_gp", "'wgan-gp'", *GAN_MODES, key="gan_mode"):
        make_objective("wgan_gp")
    with raises_user_error(0, 0.01, key="clip_value"):
        make_objective("wgan", clip_value=0)


def test_a_clipped_critic_still_sees_its_input() -> None:
    """With the norms' scales clipped too, two masks would get the same score to one part in a million."""
    torch.manual_seed(0)
    critic, objective = RDACritic(), make_objective("wgan")
    real = torch.zeros(4, 2, 64, 64)
    real[:, 1, 20:40, 20:40] = 1
    fake = torch.rand(4, 2, 64, 64)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-4, betas=(0.5, 0.9))
    for _ in range(8):
        real_scores, fake_scores = critic(torch.cat([real, fake])).chunk(2)
        optimizer.zero_grad()
        objective.discriminator_loss(real_scores, fake_scores).backward()
        optimizer.step()
        objective.after_discriminator_step(critic)
    gap = float(objective.measure(*critic(torch.cat([real, fake])).chunk(2)).detach())
    assert gap > 0.05
