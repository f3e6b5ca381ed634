"""Discriminator of the conditional GANs for breast ultrasound and mammograms."""

from __future__ import annotations

from torch import Tensor, nn

from bus_monai.networks.initialise_dcgan import initialise_dcgan

STRIDES = (2, 2, 2, 1)


class PatchDiscriminator(nn.Module):
    """Score overlapping patches of 70x70 pixels of an (image, mask) pair, or of a mask alone: high for real.

    Five 4x4 convolutions with stride 2, 2, 2, 1, 1, LeakyReLU 0.2 after all but the last and batch normalisation after
    the second to fourth, without the sigmoid, which ``BCEWithLogits`` holds itself. The layers with stride 2 are padded
    by 1; only without padding of the other two does the published map of 10x10 come from 128x128 pixels, where MONAI's
    class of this name, padded alike everywhere, gives 14x14. Isola et al. (pix2pix), CVPR 2017, arXiv 1611.07004; Singh
    et al., Expert Systems with Applications 2020, doi 10.1016/j.eswa.2020.113870. 2,765,505 parameters.

    Args:
        in_channels: 2 for image and mask, 1 for the mask alone.
        base_width: channels of the first convolution; doubled by each of the next three.
        tail_padding: of the two layers with stride 1: 0 for ultrasound (10x10 scores at 128), 1 for mammograms (30x30
            at 256).

    Shape:
        (B, in_channels, H, W) to logits (B, 1, H // 8 - 6 + 4 * tail_padding, W // 8 - 6 + 4 * tail_padding), with H
        and W at least 56, or 24 with ``tail_padding`` 1.
    """

    def __init__(self, *, in_channels: int = 2, base_width: int = 64, tail_padding: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = in_channels
        for i, stride in enumerate(STRIDES):
            width = base_width * 2**i
            padding = 1 if stride == 2 else tail_padding
            layers.append(nn.Conv2d(before, width, 4, stride=stride, padding=padding))
            if i > 0:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.2))
            before = width
        layers.append(nn.Conv2d(before, 1, 4, padding=tail_padding))
        self.layers = nn.Sequential(*layers)
        self.apply(initialise_dcgan)

    def forward(self, x: Tensor) -> Tensor:
        """Return the score of each patch."""
        scores: Tensor = self.layers(x)
        return scores
