"""U-Net on a ResNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.blocks.convolution import conv_norm_act
from bus_monai.networks.encoders.resnet import ResNetEncoder
from bus_monai.networks.wrappers import Padded

DECODER_WIDTHS = (256, 128, 64, 32, 16)
"""Channels of the decoder at 1/16 to the whole of the image's size."""


class ResNetUNet(Padded):
    """A U-Net whose encoder is a ResNet, laid out as ``Unet("resnet101")`` of segmentation-models-pytorch 0.6.

    On ResNet-101 it is the generator of a rival in Singh et al., Expert Systems with Applications 2020, doi
    10.1016/j.eswa.2019.112855, whose layers that paper does not give; 51,513,233 parameters, the encoder's three input
    channels included.

    Args:
        in_channels: of the image; 1 is repeated to the three of the encoder.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        backbone: ``resnet18``, ``resnet50`` or ``resnet101``.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Raises:
        UserError: unknown ``backbone``.

    Example:
        >>> ResNetUNet(backbone="resnet18")(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1, backbone: str = "resnet101") -> None:
        super().__init__(_Body(in_channels, out_channels, backbone), multiple=32)


class _Body(nn.Module):
    """The network for H and W divisible by 32."""

    def __init__(self, in_channels: int, out_channels: int, backbone: str) -> None:
        super().__init__()
        self.encoder = ResNetEncoder(backbone, in_channels=in_channels)
        *skips, before = self.encoder.widths
        stages: list[nn.Module] = []
        # the last stage has the size of the image, of which the encoder keeps no map
        for skip, width in zip((*reversed(skips), 0), DECODER_WIDTHS, strict=True):
            stages.append(nn.Sequential(conv_norm_act(before + skip, width, 3), conv_norm_act(width, width, 3)))
            before = width
        self.stages = nn.ModuleList(stages)
        self.head = nn.Conv2d(before, out_channels, 3, padding=1)
        # PyTorch's own start shrinks the signal at every convolution, until batch normalization has seen data
        for module in self.stages.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.constant_(torch.as_tensor(self.head.bias), 0)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        y = maps[4]
        for i, stage in enumerate(self.stages):
            y = F.interpolate(y, scale_factor=2.0, mode="nearest")
            if i < 4:
                y = torch.cat([y, maps[3 - i]], dim=1)
            y = stage(y)
        logits: Tensor = self.head(y)
        return logits
