"""U-Net and Attention U-Net."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.basic_unet import BasicUNet

from bus_monai.errors import UserError
from bus_monai.networks.wrappers import Padded

MULTIPLE = 16
"""Pixels: the padded image's sides are multiples of it."""


class UNet(Padded):
    """MONAI's ``BasicUNet`` with batch normalization, as wide as published.

    Ronneberger et al., MICCAI 2015, doi 10.1007/978-3-319-24574-4_28; 31,112,065 parameters. MONAI's own default is
    16 times smaller.

    Args:
        in_channels: of the image.
        out_channels: 1 for a logit of the lesion, whose sigmoid is its probability; K > 1 for the logits of K classes,
            whose softmax over the channels are their probabilities.
        features: channels at the five sizes, finest first, and those of the last stage, as in MONAI.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Raises:
        UserError: ``features`` are not six numbers of at least 1.

    Example:
        >>> import torch
        >>> net = UNet(in_channels=3, out_channels=4, features=(4, 8, 16, 32, 64, 4))
        >>> net(torch.rand(1, 3, 33, 50)).softmax(dim=1).shape
        torch.Size([1, 4, 33, 50])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        features: Sequence[int] = (64, 128, 256, 512, 1024, 64),
    ) -> None:
        check_features(features, 6)
        network = BasicUNet(
            spatial_dims=2, in_channels=in_channels, out_channels=out_channels, features=tuple(features), norm="batch"
        )
        super().__init__(network, MULTIPLE)


class AttentionUNet(Padded):
    """MONAI's ``AttentionUnet``, as wide as the U-Net that was published.

    Oktay et al., MIDL 2018, arXiv 1804.03999; 31,739,185 parameters.

    Args:
        in_channels: of the image.
        out_channels: 1 for a logit of the lesion, whose sigmoid is its probability; K > 1 for the logits of K classes,
            whose softmax over the channels are their probabilities.
        features: channels at the five sizes, finest first.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Raises:
        UserError: ``features`` are not five numbers of at least 1.
    """

    def __init__(
        self, *, in_channels: int = 1, out_channels: int = 1, features: Sequence[int] = (64, 128, 256, 512, 1024)
    ) -> None:
        check_features(features, 5)
        network = AttentionUnet(
            spatial_dims=2, in_channels=in_channels, out_channels=out_channels, channels=features, strides=(2, 2, 2, 2)
        )
        super().__init__(network, MULTIPLE)


def check_features(features: Sequence[int], count: int) -> None:
    """Refuse ``features`` that are not ``count`` numbers of channels.

    Raises:
        UserError: with what was given.
    """
    if len(features) != count or min(features) < 1:
        raise UserError(f"features is {list(features)}: give {count} numbers of channels of at least 1.")
