"""Additive attention gate of RDAU-NET."""

from __future__ import annotations

from torch import Tensor, nn


class AttentionGate(nn.Module):
    """Weigh a skip connection by a map computed from it and from the decoder's map.

    ``alpha = sigmoid(conv(BN(ReLU(conv(ReLU(a + b))))))`` with ``a = BN(ReLU(conv(gating)))`` and
    ``b = BN(ReLU(conv(skip)))``, all convolutions 1x1; the output is ``alpha * skip``. One scalar a pixel, as in
    Zhuang et al. (RDAU-NET, PLoS ONE 2019, doi 10.1371/journal.pone.0221535) and the code of Negi et al. (2020).

    Args:
        gating_channels: channels of the decoder's map.
        skip_channels: channels of the skip connection.
        inter_channels: channels F in which the two are compared; the second convolution has F / 2.
        post_bn: apply batch normalisation after the sigmoid as the parent code does. It lets ``alpha`` leave [0, 1].

    Shape:
        gating (B, gating_channels, H, W) and skip (B, skip_channels, H, W) to (B, skip_channels, H, W).
    """

    def __init__(self, gating_channels: int, skip_channels: int, inter_channels: int, *, post_bn: bool = False) -> None:
        super().__init__()
        self.project_gating = _project(gating_channels, inter_channels)
        self.project_skip = _project(skip_channels, inter_channels)
        self.relu = nn.ReLU()
        self.reduce = _project(inter_channels, inter_channels // 2)
        self.alpha = nn.Sequential(
            nn.Conv2d(inter_channels // 2, 1, 1), nn.Sigmoid(), nn.BatchNorm2d(1) if post_bn else nn.Identity()
        )

    def forward(self, gating: Tensor, skip: Tensor) -> Tensor:
        """Return the gated skip connection."""
        joint = self.relu(self.project_gating(gating) + self.project_skip(skip))
        alpha: Tensor = self.alpha(self.reduce(joint))
        return skip * alpha


def _project(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.ReLU(), nn.BatchNorm2d(out_channels))
