"""Critic of RDA-NET-GAN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bus_monai.errors import UserError

WIDTHS = (32, 64, 128, 256, 512)
NORMS = ("batch", "layer")


class RDACritic(nn.Module):
    """Score an (image, mask) pair, or a mask alone: one number, high for real.

    Five blocks of two 3x3 convolutions with LeakyReLU 0.1 and a norm after each, max pooling after the first four,
    global average pooling and a linear layer: the discriminator in the code of Negi et al. (RDA-UNET-WGAN, 2020)
    without its sigmoid, which a Wasserstein critic must not have and which ``BCEWithLogits`` holds itself.
    4,716,417 parameters with batch norm and two input channels.

    Args:
        in_channels: 2 for image and mask, 1 for the mask alone.
        norm: ``batch``, or ``layer`` for the gradient penalty, which looks at each sample alone and so forbids
            statistics over the batch (Gulrajani et al., 2017, section 4).

    Shape:
        (B, in_channels, H, W) to (B, 1), with H and W at least 64.

    Raises:
        UserError: unknown norm.
    """

    def __init__(self, *, in_channels: int = 2, norm: str = "batch") -> None:
        super().__init__()
        if norm not in NORMS:
            raise UserError(f"critic_norm is {norm!r}: use one of {', '.join(NORMS)}.")
        layers: list[nn.Module] = []
        before = in_channels
        for i, width in enumerate(WIDTHS):
            layers += _conv(before, width, stride=2 if i < 2 else 1, norm=norm)
            layers += _conv(width, width, stride=1, norm=norm)
            if i < len(WIDTHS) - 1:
                layers.append(nn.MaxPool2d(2))
            before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the score of each sample."""
        pooled = self.features(x).float().mean(dim=(2, 3))
        # under weight clipping scores differ by less than bfloat16 resolves
        with torch.autocast(x.device.type, enabled=False):
            score: Tensor = self.head(pooled)
            return score


def _conv(in_channels: int, out_channels: int, *, stride: int, norm: str) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
        nn.LeakyReLU(0.1),
        nn.BatchNorm2d(out_channels) if norm == "batch" else nn.GroupNorm(1, out_channels),
    ]
