"""Argument groups of the trainers: networks with their optimizers and losses, and options of the updates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from monai.inferers.inferer import Inferer, SimpleInferer
from monai.networks.layers.simplelayers import GaussianFilter
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from bus_monai.errors import UserError, check_choice, check_number
from bus_monai.losses.adversarial import AdversarialObjective

DISCRIMINATOR_BATCHES = ("joint", "separate")
BLUR_REACH = 4
"""Standard deviations at which MONAI cuts a Gaussian off."""


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A network and the optimizer of its parameters.

    Args:
        network: maps (B, C, H, W) to logits; it may be inside ``DistributedDataParallel``.
        optimizer: holds the parameters of ``network``.
    """

    network: nn.Module
    optimizer: Optimizer


@dataclass(frozen=True, kw_only=True)
class Generator(Learner):
    """The segmentation network.

    Args:
        network: (B, 1, H, W) to logits (B, 1, H, W).
        optimizer: holds the parameters of ``network``.
        inferer: runs the network in its own steps.
        average: moving average of the weights, updated after each step; ``None`` for no average.

    Example:
        >>> import torch
        >>> network = nn.Conv2d(1, 1, 3, padding=1)
        >>> Generator(network=network, optimizer=torch.optim.Adam(network.parameters(), 1e-4)).average is None
        True
    """

    inferer: Inferer = field(default_factory=SimpleInferer)
    average: AveragedModel | None = None


@dataclass(frozen=True, kw_only=True)
class Discriminator(Learner):
    """The adversary of a segmentation network.

    Args:
        network: scores an image and a mask (B, 2, H, W), or a mask alone (B, 1, H, W).
        optimizer: holds the parameters of ``network``.
        objective: the adversarial losses of both networks.
        conditional: whether it sees the image beside the mask.
        batches: ``joint`` shows it real and fake masks in one batch, and it is in evaluation mode in the generator's
            step; ``separate`` shows them in two passes, and it is in training mode then too, as in pix2pix. What
            batch normalization knows of a mask is then the statistics of its own kind alone, in both networks' steps:
            in a joint batch those of both kinds tell one from the other. A Wasserstein critic with batch normalization,
            whose loss is the difference of two mean scores, needs the joint batch: separate ones leave little of it.
        real_blur: standard deviation in pixels of a Gaussian that blurs the real masks that it learns from, at least 0:
            predicted ones have soft outlines, by which alone it may tell them from hard ones.

    Raises:
        UserError: unknown ``batches``, or ``real_blur`` below 0.
    """

    objective: AdversarialObjective
    conditional: bool = True
    batches: str = "joint"
    real_blur: float = 0.0

    def __post_init__(self) -> None:
        check_choice("discriminator_batches", self.batches, DISCRIMINATOR_BATCHES)
        check_number("real_blur", self.real_blur, at_least=0)

    def shown(self, image: Tensor, mask: Tensor, *, real: bool = False) -> Tensor:
        """Return what it sees of images and masks (B, 1, H, W): both, (B, 2, H, W), or the mask; real masks blurred."""
        if real and self.real_blur:
            margin = BLUR_REACH * math.ceil(self.real_blur)
            # beyond the border the mask goes on: zeros there would fade a lesion that is cut off
            around = F.pad(mask, [margin] * 4, mode="replicate")
            blurred = GaussianFilter(2, self.real_blur, truncated=BLUR_REACH).to(mask.device)(around)
            mask = blurred[..., margin:-margin, margin:-margin]
        return torch.cat([image, mask], dim=1) if self.conditional else mask


@dataclass(frozen=True, kw_only=True)
class Updates:
    """Options of the optimizer steps of all networks of a trainer.

    Args:
        max_grad_norm: clip the norm of each network's gradient; ``None`` leaves it.
        lr_schedulers: stepped between epochs.
        amp: mixed precision, bfloat16 on processors that are fast in it and float16 with loss scaling on CUDA.

    Example:
        >>> Updates(max_grad_norm=1.0, amp=True).lr_schedulers
        ()
    """

    max_grad_norm: float | None = None
    lr_schedulers: Sequence[LRScheduler] = ()
    amp: bool = False


def learners(networks: Iterable[nn.Module], optimizers: Iterable[Optimizer]) -> list[Learner]:
    """Pair each network with its optimizer.

    Raises:
        UserError: one of them is missing.

    Example:
        >>> import torch
        >>> networks = [nn.Conv2d(1, 1, 3) for _ in range(2)]
        >>> len(learners(networks, [torch.optim.Adam(network.parameters()) for network in networks]))
        2
    """
    networks, optimizers = list(networks), list(optimizers)
    if len(networks) != len(optimizers):
        raise UserError(
            f"There are {len(networks)} networks and {len(optimizers)} optimizers: give an optimizer for each."
        )
    return [Learner(network=n, optimizer=o) for n, o in zip(networks, optimizers, strict=True)]
