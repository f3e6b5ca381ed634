"""Pre-activation residual unit of RDAU-NET."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with a projected shortcut; no activation after the sum.

    ``BN-ReLU-conv(stride)-BN-ReLU-conv`` plus ``conv1x1(stride)-BN``, as in the code of Negi et al.
    (RDA-UNET-WGAN, AJSE 2020, doi 10.1007/s13369-020-04480-z).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: stride of the first convolution and of the shortcut.
        pre_activation: whether ``BN-ReLU`` precedes the first convolution; the network's first unit sees raw pixels
            and does without.
        use_shortcut: ``False`` leaves the shortcut out (ablation).

    Shape:
        (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        pre_activation: bool = True,
        use_shortcut: bool = True,
    ) -> None:
        super().__init__()
        self.pre = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU()) if pre_activation else nn.Identity()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.use_shortcut = use_shortcut
        self.shortcut = (
            nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels))
            if use_shortcut
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit."""
        residual: Tensor = self.residual(self.pre(x))
        return residual + self.shortcut(x) if self.use_shortcut else residual
