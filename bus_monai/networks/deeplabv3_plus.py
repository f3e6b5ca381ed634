"""DeepLabV3+ on a dilated ResNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.blocks.convolution import conv_norm_act
from bus_monai.networks.encoders.resnet import ResNetEncoder

CHANNELS = 256
SKIP_CHANNELS = 48
ATROUS_RATES = (6, 12, 18)


class DeepLabV3Plus(nn.Module):
    """Atrous spatial pyramid pooling at 1/16 of the size, refined with features at 1/4.

    Chen et al., ECCV 2018, doi 10.1007/978-3-030-01234-2_49, laid out as ``DeepLabV3Plus("resnet101",
    encoder_output_stride=16, decoder_atrous_rates=(6, 12, 18), decoder_aspp_separable=False)`` of
    segmentation-models-pytorch 0.6: dense convolutions in the pyramid, separable ones in the decoder, bilinear
    interpolation with aligned corners; 58,197,329 parameters, the encoder's three input channels included.

    Args:
        in_channels: of the image; 1 is repeated to the three of the encoder.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        backbone: ``resnet18``, ``resnet50`` or ``resnet101``.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W. In
        training mode at least two images, since the pyramid's pooled branch normalizes a single value per channel.

    Raises:
        UserError: unknown ``backbone``.

    Example:
        >>> DeepLabV3Plus(backbone="resnet18").eval()(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1, backbone: str = "resnet101") -> None:
        super().__init__()
        self.encoder = ResNetEncoder(backbone, output_stride=16, in_channels=in_channels)
        self.pyramid = nn.Sequential(
            _Pyramid(self.encoder.widths[-1], ATROUS_RATES), nn.Dropout(0.5), _separable(CHANNELS, CHANNELS)
        )
        self.skip = conv_norm_act(self.encoder.widths[1], SKIP_CHANNELS, 1)
        self.fuse = _separable(CHANNELS + SKIP_CHANNELS, CHANNELS)
        self.head = nn.Conv2d(CHANNELS, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        features = self.encoder(x)
        skip = self.skip(features[1])
        deep = _resize(self.pyramid(features[4]), skip.shape[2], skip.shape[3])
        return _resize(self.head(self.fuse(torch.cat([deep, skip], dim=1))), x.shape[2], x.shape[3])


class _Pyramid(nn.Module):
    """A 1x1, three dilated 3x3 and a pooled branch, joined by a 1x1 convolution."""

    def __init__(self, in_channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        branches = [conv_norm_act(in_channels, CHANNELS, 1)]
        branches += [conv_norm_act(in_channels, CHANNELS, 3, dilation=rate) for rate in rates]
        self.branches = nn.ModuleList(branches)
        self.pooled = conv_norm_act(in_channels, CHANNELS, 1)
        self.project = conv_norm_act((len(branches) + 1) * CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [branch(x) for branch in self.branches]
        pooled = self.pooled(x.mean(dim=[2, 3], keepdim=True))
        seen.append(pooled.expand(-1, -1, x.shape[2], x.shape[3]))
        projected: Tensor = self.project(torch.cat(seen, dim=1))
        return projected


def _separable(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
        *conv_norm_act(in_channels, out_channels, 1),
    )


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x, size=[height, width], mode="bilinear", align_corners=True)
