"""Convolutional block attention module."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CBAM(nn.Module):
    """Weigh the channels of a map, then its pixels.

    The weight of a channel is the sigmoid of one perceptron (no bias) applied to its mean and to its maximum over the
    image, summed; the weight of a pixel is the sigmoid of a 7x7 convolution (no bias) of the mean and the maximum over
    the channels. Woo et al., ECCV 2018, doi 10.1007/978-3-030-01234-2_1; ``2 C^2 / reduction + 98`` parameters.

    Args:
        channels: C, a multiple of ``reduction``.
        reduction: C over the hidden units of the perceptron.

    Shape:
        (B, C, H, W) to (B, C, H, W).
    """

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // reduction, channels, 1, bias=False),
        )
        self.pixel = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted map."""
        mean, maximum = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        x = x * (self.perceptron(mean) + self.perceptron(maximum)).sigmoid()
        seen = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        weights: Tensor = self.pixel(seen).sigmoid()
        return x * weights
