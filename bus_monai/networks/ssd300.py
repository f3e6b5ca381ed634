"""SSD300, a detector of boxes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.ssd import SSD

VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
CONV4_3 = 22
"""Number of the ReLU behind VGG-16's tenth convolution, whose features are the finest that boxes come from."""
EXTRA = ((1024, 256, 512, 2), (512, 128, 256, 2), (256, 128, 256, 1), (256, 128, 256, 1))
"""Channels in, between and out of the four blocks behind VGG-16, and stride."""
WIDTHS = (512, 1024, 512, 256, 256, 256)


class SSD300(SSD):
    """Single-shot detector with 300 x 300 input on VGG-16, one class beside the background.

    Boxes come from six maps of 38, 19, 10, 5, 3 and 1 cells a side. Liu et al., ECCV 2016, doi
    10.1007/978-3-319-46448-0_2 (arXiv 1512.02325). ``features`` is numbered as in torchvision's VGG-16, so that weights
    learnt on photographs fit; 23,745,908 parameters, as torchvision's ``ssd300_vgg16`` with two classes has.

    Shape:
        (B, 1, 300, 300) with values in [0, 1], repeated to three channels, to offsets (B, 8732, 4) from the boxes of
        :func:`~bus_monai.detection.default_boxes.default_boxes`, and logits (B, 8732, 2), background first.

    Raises:
        UserError: an input of another size.
    """

    def __init__(self) -> None:
        super().__init__(WIDTHS)
        self.features = _vgg16()
        self.conv4_3 = CONV4_3
        # as in Liu et al. (ParseNet, 2015): these features are larger than those of deeper maps
        self.scale = nn.Parameter(torch.full((512,), 20.0))
        self.fc = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
            nn.ReLU(),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(),
        )
        self.extra = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, between, 1),
                nn.ReLU(),
                nn.Conv2d(between, after, 3, stride=stride, padding=stride - 1),
                nn.ReLU(),
            )
            for before, between, after, stride in EXTRA
        )
        for module in (*self.fc, *self.extra.modules(), *self.offsets, *self.logits):
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the six feature maps of ``x``, finest first."""
        x = x.expand(-1, 3, -1, -1)
        maps: list[Tensor] = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i == self.conv4_3:
                maps.append(F.normalize(x) * self.scale[:, None, None])
        x = self.fc(x)
        maps.append(x)
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return maps


def _vgg16() -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for width in VGG16:
        if isinstance(width, int):
            conv = nn.Conv2d(before, width, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            layers += [conv, nn.ReLU()]
            before = width
        else:
            # rounded up, else the first map would have 37 cells
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers)
