"""Convolution, batch normalisation, ReLU."""

from __future__ import annotations

from torch import nn


def conv_norm_act(in_channels: int, out_channels: int, kernel_size: int, *, dilation: int = 1) -> nn.Sequential:
    """Make a convolution without bias that keeps the size, batch normalisation and ReLU.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: odd.
        dilation: pixels between the taps of the kernel.

    Returns:
        (B, in_channels, H, W) to (B, out_channels, H, W).
    """
    padding = dilation * (kernel_size // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
