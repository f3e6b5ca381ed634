"""A small detector on the boxes of SSD300."""

from __future__ import annotations

from torch import Tensor, nn

from bus_monai.networks.ssd import SSD

STEM = ((1, 16, 2), (16, 32, 2), (32, 32, 1))
"""Channels in and out of the convolutions before the first map, and stride."""
MAPS = (
    ((32, 64, 2), (64, 64, 1), (64, 64, 1)),
    ((64, 128, 2), (128, 128, 1), (128, 128, 1)),
    ((128, 128, 2), (128, 128, 1)),
    ((128, 128, 2), (128, 128, 1)),
    ((128, 128, 2),),
)
"""The convolutions of the first five maps, each behind the one before."""
WIDTHS = (64, 128, 128, 128, 128, 128)


class SSDLite(SSD):
    """SSD300's boxes on a backbone of fifteen 3 x 3 convolutions with batch norm, which learns from random weights.

    Ours, of no paper: VGG-16 without batch norm starts from weights learnt on photographs, and takes some forty times
    as long. 1,555,940 parameters.

    Shape:
        As :class:`~bus_monai.networks.ssd.SSD`.
    """

    def __init__(self) -> None:
        super().__init__(WIDTHS)
        self.stem = nn.Sequential(*(_conv(*step) for step in STEM))
        self.blocks = nn.ModuleList(nn.Sequential(*(_conv(*step) for step in steps)) for steps in MAPS)
        # a map of one cell has no statistics of its own in a batch of one image
        self.last = nn.Sequential(nn.Conv2d(WIDTHS[-2], WIDTHS[-1], 3), nn.ReLU())

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the six feature maps of ``x``, finest first."""
        x = self.stem(x)
        maps: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        maps.append(self.last(x))
        return maps


def _conv(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )
