"""U-Net, Attention U-Net and U-Net++, as MONAI has them."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus
from torch import Tensor, nn

from bus_monai.errors import UserError
from bus_monai.networks.wrappers import Padded


class UNet(Padded):
    """MONAI's ``BasicUNet`` with batch normalization, as wide as published.

    Ronneberger et al., MICCAI 2015, doi 10.1007/978-3-319-24574-4_28; 31,112,065 parameters. MONAI's own default is
    16 times smaller.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
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
        _check_features(features, 6)
        network = BasicUNet(
            spatial_dims=2, in_channels=in_channels, out_channels=out_channels, features=tuple(features), norm="batch"
        )
        super().__init__(network, multiple=16)


class AttentionUNet(Padded):
    """MONAI's ``AttentionUnet``, as wide as the U-Net that was published.

    Oktay et al., MIDL 2018, arXiv 1804.03999; 31,739,185 parameters.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        features: channels at the five sizes, finest first.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Raises:
        UserError: ``features`` are not five numbers of at least 1.

    Example:
        >>> import torch
        >>> AttentionUNet(features=(8, 16, 32, 64, 128))(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(
        self, *, in_channels: int = 1, out_channels: int = 1, features: Sequence[int] = (64, 128, 256, 512, 1024)
    ) -> None:
        _check_features(features, 5)
        network = AttentionUnet(
            spatial_dims=2, in_channels=in_channels, out_channels=out_channels, channels=features, strides=(2, 2, 2, 2)
        )
        super().__init__(network, multiple=16)


class UNetPlusPlus(Padded):
    """MONAI's ``BasicUNetPlusPlus`` without deep supervision.

    Zhou et al., IEEE TMI 2020, doi 10.1109/TMI.2019.2959609; 9,118,657 parameters: MONAI's 9,118,756 without the three
    1x1 heads that only deep supervision uses, which would get no gradient.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        features: channels at the five sizes, finest first, and those of the last stage, as in MONAI.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Example:
        >>> import torch
        >>> UNetPlusPlus(features=(8, 8, 16, 32, 64, 8))(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        features: Sequence[int] = (32, 64, 128, 256, 512, 32),
    ) -> None:
        _check_features(features, 6)
        super().__init__(_PlusPlusBody(in_channels, out_channels, features), multiple=16)


class _PlusPlusBody(nn.Module):
    """The network for H and W divisible by 16."""

    def __init__(self, in_channels: int, out_channels: int, features: Sequence[int]) -> None:
        super().__init__()
        self.network = BasicUNetPlusPlus(
            spatial_dims=2, in_channels=in_channels, out_channels=out_channels, features=tuple(features)
        )
        for head in ("final_conv_0_1", "final_conv_0_2", "final_conv_0_3"):
            setattr(self.network, head, nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)[0]
        return logits


def _check_features(features: Sequence[int], count: int) -> None:
    """Refuse ``features`` that are not ``count`` numbers of channels.

    Raises:
        UserError: with what was given.
    """
    if len(features) != count or min(features) < 1:
        raise UserError(f"features is {list(features)}: give {count} numbers of channels of at least 1.")
