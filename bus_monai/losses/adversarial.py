"""Adversarial objectives: the losses of generator and discriminator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.errors import check_choice, check_number

NORM_LAYERS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
GAN_MODES = ("none", "bce", "wgan", "wgan-gp", "parent_literal")


class AdversarialObjective(ABC):
    """The two losses of an adversarial game, and what happens around a discriminator step.

    Logits are (B, 1) or (B, 1, h, w), high for real. ``discriminator_metric`` names what ``measure`` returns.
    """

    discriminator_metric: str

    @abstractmethod
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return the loss that the discriminator minimizes, a scalar."""

    @abstractmethod
    def generator_loss(self, fake_logits: Tensor) -> Tensor:
        """Return the loss that the generator minimizes, a scalar."""

    @abstractmethod
    def measure(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return how well the discriminator does, a scalar."""

    def penalty(self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        """Return a term to add to the discriminator's loss, or ``None``."""
        return None

    def after_discriminator_step(self, discriminator: nn.Module) -> None:  # noqa: B027 (most objectives do nothing)
        """Constrain the discriminator after its optimizer has stepped."""


class BCEObjective(AdversarialObjective):
    """Binary cross-entropy on logits, the non-saturating game of Goodfellow et al. (NeurIPS 2014).

    Args:
        real_label: what the discriminator is to say of real pairs, in (0.5, 1]; below 1 for one-sided label smoothing
            (Salimans et al., NeurIPS 2016, arXiv 1606.03498, section 3.4), which keeps it from being too sure.

    Example:
        >>> real, fake = torch.tensor([[2.0], [1.0]]), torch.tensor([[-2.0], [1.0]])
        >>> float(BCEObjective().measure(real, fake))
        0.75
    """

    discriminator_metric = "d_accuracy"

    def __init__(self, *, real_label: float = 1.0) -> None:
        check_number("real_label", real_label, above=0.5, at_most=1)
        self.real_label = real_label

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Real pairs toward their label, fake pairs toward 0, summed."""
        return _bce(real_logits, self.real_label) + _bce(fake_logits, 0.0)

    def generator_loss(self, fake_logits: Tensor) -> Tensor:
        """Fake pairs toward 1."""
        return _bce(fake_logits, 1.0)

    def measure(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Share of pairs told right, in [0, 1]; 0.5 where the generator has won."""
        return ((real_logits > 0).float().mean() + (fake_logits <= 0).float().mean()) / 2


class ParentLiteralObjective(BCEObjective):
    """The losses in the code of Negi et al. (RDA-UNET-WGAN, 2020), to reproduce its behavior.

    The discriminator learns by cross-entropy on sigmoid outputs and is not clipped; the generator minimizes the mean
    of ``sigmoid(D)``, which *lowers* its realism: a sign error. There is no mask term either; set its weight to 0.

    Example:
        >>> losses = [ParentLiteralObjective().generator_loss(torch.tensor([[score]])) for score in (-1.0, 1.0)]
        >>> bool(losses[0] < losses[1])
        True
    """

    def generator_loss(self, fake_logits: Tensor) -> Tensor:
        """Mean realism, minimized: the sign error of the parent code."""
        return fake_logits.sigmoid().mean()


class WassersteinObjective(AdversarialObjective):
    """Wasserstein distance with weight clipping (Arjovsky et al., ICML 2017).

    Weights and biases are clipped to ``clip_value``, but the scales of normalization layers to 1: at 0.01 each of them
    would shrink its signal a hundredfold, below the epsilon of the next, and after ten of them nothing of the input
    would reach the score; unbounded they would take back the bound that clipping sets.

    Args:
        clip_value: bound of the critic's weights after each of its steps; the paper's 0.01.

    Example:
        >>> critic, objective = nn.Conv2d(2, 1, 4), WassersteinObjective()
        >>> objective.after_discriminator_step(critic)
        >>> round(float(critic.weight.detach().abs().max()), 4)
        0.01
        >>> float(objective.discriminator_loss(torch.tensor([[3.0]]), torch.tensor([[1.0]])))
        -2.0
    """

    discriminator_metric = "critic_gap"

    def __init__(self, *, clip_value: float = 0.01) -> None:
        check_number("clip_value", clip_value, above=0, hint="the paper's is 0.01")
        self.clip_value = clip_value

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Mean score of fake minus mean score of real."""
        return fake_logits.mean() - real_logits.mean()

    def generator_loss(self, fake_logits: Tensor) -> Tensor:
        """Minus the mean score of fake."""
        return -fake_logits.mean()

    def measure(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Mean score of real minus mean score of fake, the estimate of the distance."""
        return real_logits.mean() - fake_logits.mean()

    def after_discriminator_step(self, discriminator: nn.Module) -> None:
        """Clip the weights."""
        with torch.no_grad():
            for module in discriminator.modules():
                bound = 1.0 if isinstance(module, NORM_LAYERS) else self.clip_value
                for parameter in module.parameters(recurse=False):
                    parameter.clamp_(-bound, bound)


class WassersteinGPObjective(WassersteinObjective):
    """Wasserstein distance with gradient penalty (Gulrajani et al., NeurIPS 2017) instead of clipping.

    The gradient is that of a sample's mean score, which the losses take of a map of patches too. The critic must have
    no batch norm, whose statistics make a score depend on the other samples (section 4 there).

    Args:
        weight: of the penalty ``(|grad D| - 1)^2``; the paper's 10.

    Example:
        >>> images = torch.rand(2, 1, 2, 2)
        >>> float(WassersteinGPObjective().penalty(lambda x: x.sum(dim=(1, 2, 3)), images, images))
        10.0
    """

    def __init__(self, *, weight: float = 10.0) -> None:
        self.weight = weight

    def penalty(self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """Penalize gradients of mean scores whose norm is not 1 on lines between real and fake, in full precision."""
        with torch.autocast(real.device.type, enabled=False):
            share = torch.rand(len(real), 1, 1, 1, device=real.device)
            between = (share * real.float() + (1 - share) * fake.float()).requires_grad_(True)
            scores = discriminator(between).reshape(len(between), -1).mean(dim=1)
            (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
            norms: Tensor = gradient.flatten(1).norm(dim=1)
            return self.weight * ((norms - 1) ** 2).mean()

    def after_discriminator_step(self, discriminator: nn.Module) -> None:
        """Leave the weights as they are: the penalty takes the place of clipping."""


def make_objective(
    gan_mode: str, *, clip_value: float = 0.01, penalty_weight: float = 10.0, real_label: float = 1.0
) -> AdversarialObjective | None:
    """Make the objective of a name.

    Args:
        gan_mode: ``none`` (no adversary), ``bce``, ``wgan``, ``wgan-gp`` or ``parent_literal``.
        clip_value: of ``wgan``.
        penalty_weight: of ``wgan-gp``.
        real_label: of ``bce``.

    Raises:
        UserError: unknown name.

    Example:
        >>> make_objective("wgan").discriminator_metric
        'critic_gap'
        >>> make_objective("none") is None
        True
    """
    check_choice("gan_mode", gan_mode, GAN_MODES)
    match gan_mode:
        case "bce":
            return BCEObjective(real_label=real_label)
        case "wgan":
            return WassersteinObjective(clip_value=clip_value)
        case "wgan-gp":
            return WassersteinGPObjective(weight=penalty_weight)
        case "parent_literal":
            return ParentLiteralObjective()
    return None


def _bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
