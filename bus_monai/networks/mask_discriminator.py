"""Discriminator of masks, of ASSGAN and of Hung et al."""

from __future__ import annotations

from torch import nn

WIDTHS = (64, 128, 256, 512)


class MaskDiscriminator(nn.Sequential):
    """Score each region of a mask: a map of logits, high for real.

    Five 4x4 convolutions of stride 2, LeakyReLU 0.2 between them, no normalisation: the net of Hung et al. (BMVC 2018,
    arXiv 1802.07934) on one channel, as Zhai et al. (ASSGAN, Neurocomputing 493, 2022, doi
    10.1016/j.neucom.2022.04.021) use it; 2,762,689 parameters.

    Shape:
        (B, 1, H, W) with values in [0, 1] to logits (B, 1, H // 32, W // 32), H and W of at least 32.
    """

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        before = 1
        for width in WIDTHS:
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
            before = width
        super().__init__(*layers, nn.Conv2d(before, 1, 4, stride=2, padding=1))
