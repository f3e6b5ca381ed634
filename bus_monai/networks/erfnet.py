"""ERFNet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bus_monai.networks.wrappers import Padded

BATCH_NORM: dict[str, Any] = {"eps": 1e-3}
DILATIONS = (2, 4, 8, 16)


class ERFNet(Padded):
    """Residual blocks of 3x1 and 1x3 convolutions at 1/8 of the size, and a light decoder.

    Romera et al., IEEE T-ITS 2018, doi 10.1109/TITS.2017.2750080; 2,062,807 parameters with one input channel.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Example:
        >>> ERFNet()(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1) -> None:
        super().__init__(_Body(in_channels, out_channels), multiple=8)


class _Body(nn.Module):
    """The network for H and W divisible by 8."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            _Downsampler(in_channels, 16),
            _Downsampler(16, 64),
            *(_NonBottleneck1D(64, dilation=1, dropout=0.03) for _ in range(5)),
            _Downsampler(64, 128),
            *(_NonBottleneck1D(128, dilation=dilation, dropout=0.3) for dilation in DILATIONS + DILATIONS),
        )
        self.decoder = nn.Sequential(
            *_upsampler(128, 64),
            *(_NonBottleneck1D(64, dilation=1, dropout=0.0) for _ in range(2)),
            *_upsampler(64, 16),
            *(_NonBottleneck1D(16, dilation=1, dropout=0.0) for _ in range(2)),
            nn.ConvTranspose2d(16, out_channels, 2, stride=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.encoder(x))
        return logits


class _Downsampler(nn.Module):
    """A strided convolution beside max pooling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels - in_channels, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.BatchNorm2d(out_channels, **BATCH_NORM)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(torch.cat([self.conv(x), self.pool(x)], dim=1)))


class _NonBottleneck1D(nn.Module):
    """Two factorized 3x3 convolutions, the second one dilated, and a shortcut."""

    def __init__(self, channels: int, *, dilation: int, dropout: float) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_factorized(channels, dilation=1),
            nn.ReLU(inplace=True),
            *_factorized(channels, dilation=dilation),
            nn.Dropout2d(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.residual(x))


def _factorized(channels: int, *, dilation: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, (3, 1), padding=(dilation, 0), dilation=(dilation, 1)),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, (1, 3), padding=(0, dilation), dilation=(1, dilation)),
        nn.BatchNorm2d(channels, **BATCH_NORM),
    ]


def _upsampler(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(out_channels, **BATCH_NORM),
        nn.ReLU(inplace=True),
    ]
