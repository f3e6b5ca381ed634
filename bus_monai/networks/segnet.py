"""SegNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.wrappers import Padded

ENCODER_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""The thirteen convolutions of VGG-16, stage by stage."""
DECODER_WIDTHS = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64,))


class SegNet(Padded):
    """VGG-16 with batch norm down, its mirror image up; pooling remembers where each maximum was and puts it back.

    Badrinarayanan et al., IEEE TPAMI 2017, doi 10.1109/TPAMI.2016.2644615; 29,442,433 parameters with one input
    channel.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Example:
        >>> SegNet()(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1) -> None:
        super().__init__(_Body(in_channels, out_channels), multiple=32)


class _Body(nn.Module):
    """The network for H and W divisible by 32."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.encoder, width = _stages(in_channels, ENCODER_WIDTHS)
        self.decoder, width = _stages(width, DECODER_WIDTHS)
        self.head = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        places: list[Tensor] = []
        for stage in self.encoder:
            x, place = F.max_pool2d_with_indices(stage(x), (2, 2), (2, 2))
            places.append(place)
        for i, stage in enumerate(self.decoder):
            x = stage(_unpool(x, places[len(places) - 1 - i]))
        logits: Tensor = self.head(x)
        return logits


def _stages(width: int, stages: Sequence[Sequence[int]]) -> tuple[nn.ModuleList, int]:
    made: list[nn.Module] = []
    for widths in stages:
        layers: list[nn.Module] = []
        for after in widths:
            layers += [nn.Conv2d(width, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            width = after
        made.append(nn.Sequential(*layers))
    return nn.ModuleList(made), width


def _unpool(x: Tensor, place: Tensor) -> Tensor:
    """Max-unpooling at twice the size; a scatter, since ONNX export knows no ``max_unpool2d``."""
    b, c, h, w = x.shape
    empty = torch.zeros([b, c, 4 * h * w], dtype=x.dtype, device=x.device)
    return empty.scatter(2, place.flatten(2), x.flatten(2)).reshape(b, c, 2 * h, 2 * w)
