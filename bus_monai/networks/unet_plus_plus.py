"""U-Net++."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus
from torch import Tensor, nn

from bus_monai.networks.unet import check_features
from bus_monai.networks.wrappers import Padded

MULTIPLE = 16
"""Pixels: the padded image's sides are multiples of it."""


class UNetPlusPlus(Padded):
    """MONAI's ``BasicUNetPlusPlus`` without deep supervision.

    Zhou et al., IEEE TMI 2020, doi 10.1109/TMI.2019.2959609; 9,118,657 parameters: MONAI's 9,118,756 without the three
    1x1 heads that only deep supervision uses, which would get no gradient.

    Args:
        in_channels: of the image.
        out_channels: 1 for a logit of the lesion, whose sigmoid is its probability; K > 1 for the logits of K classes,
            whose softmax over the channels are their probabilities.
        features: channels at the five sizes, finest first, and those of the last stage, as in MONAI.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        features: Sequence[int] = (32, 64, 128, 256, 512, 32),
    ) -> None:
        check_features(features, 6)
        super().__init__(_Body(in_channels, out_channels, features), MULTIPLE)


class _Body(nn.Module):
    """The network for H and W divisible by ``MULTIPLE``."""

    def __init__(self, in_channels: int, out_channels: int, features: Sequence[int]) -> None:
        super().__init__()
        self.network = BasicUNetPlusPlus(
            spatial_dims=2, in_channels=in_channels, out_channels=out_channels, features=tuple(features)
        )
        for head in ("final_conv_0_1", "final_conv_0_2", "final_conv_0_3"):
            setattr(self.network, head, nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        logits: Tensor = self.network(x)[0]
        return logits
