"""Discriminators and critics of the published GANs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bus_monai.errors import UserError, check_choice

MASK_DISCRIMINATOR_WIDTHS = (64, 128, 256, 512)
MASK_DISCRIMINATOR_SIDE, PATCH_SIDE, PADDED_PATCH_SIDE, RDA_CRITIC_SIDE = 32, 56, 24, 59
"""Least pixels of a side."""
PATCH_STRIDES = (2, 2, 2, 1)
RDA_CRITIC_WIDTHS = (32, 64, 128, 256, 512)
CRITIC_NORMS = ("batch", "layer")


def initialize_dcgan(module: nn.Module) -> None:
    """Draw a convolution's weights from N(0, 0.02) and a batch norm's gains from N(1, 0.02); set biases to 0.

    Radford et al. (DCGAN), ICLR 2016, arXiv 1511.06434. Other modules stay as they are; ``net.apply(initialize_dcgan)``
    reaches all.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def check_side(x: Tensor, least: int) -> None:
    """Raise a user error for an image (B, C, H, W) with a side below ``least`` pixels, of which no score is left."""
    if min(x.shape[2:]) < least:
        raise UserError(
            f"The discriminator needs {least} pixels a side and got {x.shape[2]} x {x.shape[3]}: raise image_size, or "
            "train without it.",
            key="image_size",
        )


class MaskDiscriminator(nn.Sequential):
    """Score each region of a mask: a map of logits, high for real.

    Five 4x4 convolutions of stride 2, LeakyReLU 0.2 between them, no normalization: the net of Hung et al. (BMVC 2018,
    arXiv 1802.07934) on one channel, as Zhai et al. (ASSGAN, Neurocomputing 493, 2022, doi
    10.1016/j.neucom.2022.04.021) use it; 2,762,689 parameters.

    Args:
        in_channels: of the masks.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, 1, H // 32, W // 32), H and W of at least 32.

    Raises:
        UserError: a smaller image.

    Example:
        >>> MaskDiscriminator()(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 2, 2])
    """

    def __init__(self, *, in_channels: int = 1) -> None:
        layers: list[nn.Module] = []
        before = in_channels
        for width in MASK_DISCRIMINATOR_WIDTHS:
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
            before = width
        super().__init__(*layers, nn.Conv2d(before, 1, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the score of each region."""
        check_side(x, MASK_DISCRIMINATOR_SIDE)
        scores: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return scores


class PatchDiscriminator(nn.Module):
    """Score overlapping patches of 70x70 pixels of an (image, mask) pair, or of a mask alone: high for real.

    Five 4x4 convolutions with stride 2, 2, 2, 1, 1, LeakyReLU 0.2 after all but the last and batch normalization after
    the second to fourth, without the sigmoid, which ``BCEWithLogits`` holds itself. The layers with stride 2 are padded
    by 1; only without padding of the other two does the published map of 10x10 come from 128x128 pixels, where MONAI's
    class of this name, padded alike everywhere, gives 14x14. Isola et al. (pix2pix), CVPR 2017, arXiv 1611.07004; Singh
    et al., Expert Systems with Applications 2020, doi 10.1016/j.eswa.2020.113870. 2,765,505 parameters.

    Args:
        in_channels: 2 for image and mask, 1 for the mask alone.
        base_width: channels of the first convolution; doubled by each of the next three.
        tail_padding: of the two layers with stride 1: 0 for ultrasound (10x10 scores at 128), 1 for mammograms (30x30
            at 256).
        norm: ``batch``, or ``layer`` for the gradient penalty, as of :class:`RDACritic`.

    Shape:
        (B, in_channels, H, W) to logits (B, 1, H // 8 - 6 + 4 * tail_padding, W // 8 - 6 + 4 * tail_padding), with H
        and W at least 56, or 24 with ``tail_padding`` 1.

    Raises:
        UserError: unknown norm, or a smaller image.

    Example:
        >>> PatchDiscriminator(base_width=8)(torch.zeros(1, 2, 64, 64)).shape
        torch.Size([1, 1, 2, 2])
    """

    def __init__(
        self, *, in_channels: int = 2, base_width: int = 64, tail_padding: int = 0, norm: str = "batch"
    ) -> None:
        super().__init__()
        check_choice("critic_norm", norm, CRITIC_NORMS)
        layers: list[nn.Module] = []
        before = in_channels
        for i, stride in enumerate(PATCH_STRIDES):
            width = base_width * 2**i
            padding = 1 if stride == 2 else tail_padding
            layers.append(nn.Conv2d(before, width, 4, stride=stride, padding=padding))
            if i > 0:
                layers.append(nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(1, width))
            layers.append(nn.LeakyReLU(0.2))
            before = width
        layers.append(nn.Conv2d(before, 1, 4, padding=tail_padding))
        self.layers = nn.Sequential(*layers)
        self.side = PADDED_PATCH_SIDE if tail_padding else PATCH_SIDE
        self.apply(initialize_dcgan)

    def forward(self, x: Tensor) -> Tensor:
        """Return the score of each patch."""
        check_side(x, self.side)
        scores: Tensor = self.layers(x)
        return scores


class RDACritic(nn.Module):
    """Score an (image, mask) pair, or a mask alone: one number, high for real.

    Five blocks of two 3x3 convolutions, each followed by a norm and LeakyReLU 0.1, max pooling after the first four,
    global average pooling and a linear layer: the discriminator in the code of Negi et al. (RDA-UNET-WGAN, 2020)
    without its sigmoid, which a Wasserstein critic must not have and which ``BCEWithLogits`` holds itself. As there,
    batch norm shifts but does not scale; 4,714,433 parameters with it and two input channels.

    Args:
        in_channels: 2 for image and mask, 1 for the mask alone.
        norm: ``batch``, or ``layer`` for the gradient penalty, which looks at each sample alone and so forbids
            statistics over the batch (Gulrajani et al., 2017, section 4).

    Shape:
        (B, in_channels, H, W) to (B, 1), with H and W at least 59.

    Raises:
        UserError: unknown norm, or a smaller image.

    Example:
        >>> RDACritic()(torch.zeros(2, 2, 64, 64)).shape
        torch.Size([2, 1])
    """

    def __init__(self, *, in_channels: int = 2, norm: str = "batch") -> None:
        super().__init__()
        check_choice("critic_norm", norm, CRITIC_NORMS)
        layers: list[nn.Module] = []
        before = in_channels
        for i, width in enumerate(RDA_CRITIC_WIDTHS):
            layers += _conv(before, width, stride=2 if i < 2 else 1, norm=norm)
            layers += _conv(width, width, stride=1, norm=norm)
            if i < len(RDA_CRITIC_WIDTHS) - 1:
                layers.append(nn.MaxPool2d(2))
            before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the score of each sample."""
        check_side(x, RDA_CRITIC_SIDE)
        pooled = self.features(x).float().mean(dim=(2, 3))
        # under weight clipping scores differ by less than bfloat16 resolves
        with torch.autocast(x.device.type, enabled=False):
            score: Tensor = self.head(pooled)
            return score


def _conv(in_channels: int, out_channels: int, *, stride: int, norm: str) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
        _without_scale(nn.BatchNorm2d(out_channels)) if norm == "batch" else nn.GroupNorm(1, out_channels),
        nn.LeakyReLU(0.1),
    ]


def _without_scale(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    norm.register_parameter("weight", None)
    return norm
