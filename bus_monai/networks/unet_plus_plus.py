"""U-Net++."""

from __future__ import annotations

from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus
from torch import Tensor, nn

WIDTHS = (32, 64, 128, 256, 512, 32)


class UNetPlusPlus(nn.Module):
    """MONAI's ``BasicUNetPlusPlus`` with one output.

    Zhou et al., IEEE TMI 2020, doi 10.1109/TMI.2019.2959609; 9,118,657 parameters: MONAI's 9,118,756 without the three
    1x1 heads that only deep supervision uses, which would get no gradient.

    Shape:
        (B, 1, H, W) with values in [0, 1] to logits (B, 1, H, W), H and W divisible by 16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = BasicUNetPlusPlus(spatial_dims=2, in_channels=1, out_channels=1, features=WIDTHS)
        for head in ("final_conv_0_1", "final_conv_0_2", "final_conv_0_3"):
            setattr(self.network, head, nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        logits: Tensor = self.network(x)[0]
        return logits
