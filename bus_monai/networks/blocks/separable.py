"""Depthwise separable convolution."""

from __future__ import annotations

from torch import nn


def separable(in_channels: int, out_channels: int) -> nn.Sequential:
    """Make a 3x3 convolution of each channel by itself and a 1x1 convolution across them.

    Each is without bias and followed by batch normalisation and ReLU6, in the order of MobileNet (Howard et al., 2017,
    arXiv 1704.04861). ``11 i + i o + 2 o`` parameters for i input and o output channels.

    Args:
        in_channels: input channels.
        out_channels: output channels.

    Returns:
        (B, in_channels, H, W) to (B, out_channels, H, W), values in [0, 6].
    """
    block = nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU6(inplace=True),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )
    for module in block:
        if isinstance(module, nn.Conv2d):
            # PyTorch's own start shrinks the signal at every convolution, until batch normalisation has seen data
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return block
