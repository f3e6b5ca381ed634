"""Attention blocks: the gate of RDAU-NET, channel attention with weighting, CBAM, non-local."""

from __future__ import annotations

import torch
from monai.networks.blocks.squeeze_and_excitation import ChannelSELayer
from torch import Tensor, nn

from bus_monai.errors import check_choice

CAW_MODES = ("both", "channel_attention", "channel_weighting", "none")
REDUCTION = 16
"""Hu et al. (CVPR 2018)."""


class AttentionGate(nn.Module):
    """Weigh a skip connection by a map computed from it and from the decoder's map.

    ``alpha = sigmoid(conv(BN(ReLU(conv(ReLU(a + b))))))`` with ``a = BN(ReLU(conv(gating)))`` and
    ``b = BN(ReLU(conv(skip)))``, all convolutions 1x1; the output is ``alpha * skip``. One scalar per pixel, as in
    Zhuang et al. (RDAU-NET, PLoS ONE 2019, doi 10.1371/journal.pone.0221535) and the code of Negi et al. (2020).

    Args:
        gating_channels: channels of the decoder's map.
        skip_channels: channels of the skip connection.
        inter_channels: channels F in which the two are compared; the second convolution has F / 2.
        post_bn: apply batch normalization after the sigmoid as the parent code does. It lets ``alpha`` leave [0, 1].

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


class OpenGate(nn.Module):
    """Stands for an :class:`AttentionGate` where there is none: the skip connection passes unchanged."""

    def forward(self, gating: Tensor, skip: Tensor) -> Tensor:
        """Return the skip connection."""
        return skip


def _project(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.ReLU(), nn.BatchNorm2d(out_channels))


class CAW(nn.Module):
    """Sum of channel attention and channel weighting, or one of the two.

    Singh et al., Expert Systems with Applications 2020, doi 10.1016/j.eswa.2020.113870. At the start ``beta`` is 0, and
    the block returns ``x + weight * x``. 33,313 parameters for 512 channels.

    Args:
        channels: channels of the input, at least 16 for the weighting.
        mode: ``both``, ``channel_attention``, ``channel_weighting`` or ``none`` (ablation).

    Shape:
        (B, channels, H, W) to the same.

    Raises:
        UserError: unknown mode.
    """

    def __init__(self, channels: int, *, mode: str = "both") -> None:
        super().__init__()
        check_choice("caw", mode, CAW_MODES)
        self.branches = nn.ModuleList()
        if mode in ("both", "channel_attention"):
            self.branches.append(ChannelAttention())
        if mode in ("both", "channel_weighting"):
            self.branches.append(ChannelSELayer(2, channels, r=REDUCTION))
        if mode == "none":
            self.branches.append(nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of the branches."""
        total = torch.zeros_like(x)
        for branch in self.branches:
            total = total + branch(x)
        return total


class ChannelAttention(nn.Module):
    """Add to each channel a mixture of all, with more weight on those less like it.

    With A the input as C x N matrix, N = H * W, and E = A @ A.T, the output is ``beta * softmax(-E) @ A + A``, where
    the learned ``beta`` starts at 0: the channel attention of DANet (Fu et al., CVPR 2019, arXiv 1809.02983), whose
    published code takes the softmax of the row's maximum minus E.

    Shape:
        (B, C, H, W) to the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with the mixtures added."""
        mixtures = self.affinity(x) @ x.flatten(2)
        return self.beta * mixtures.view_as(x) + x

    def affinity(self, x: Tensor) -> Tensor:
        """Return the shares (B, C, C) of each channel in the mixture of each (row); a row sums to 1."""
        a = x.flatten(2)
        # the maximum in DANet's code falls out of the softmax
        return torch.softmax(-(a @ a.transpose(1, 2)), dim=-1)


class CBAM(nn.Module):
    """Weigh the channels of a map, then its pixels.

    The weight of a channel is the sigmoid of one perceptron (no bias) applied to its mean and to its maximum over the
    image, summed; the weight of a pixel is the sigmoid of a 7x7 convolution (no bias) of the mean and the maximum over
    the channels. Woo et al., ECCV 2018, doi 10.1007/978-3-030-01234-2_1; ``2 C^2 / reduction + 98`` parameters.

    Args:
        channels: C, a multiple of ``reduction``.
        reduction: C over the hidden units of the perceptron.

    Shape:
        (B, C, H, W) to (B, C, H, W).
    """

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // reduction, channels, 1, bias=False),
        )
        self.pixel = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted map."""
        mean, maximum = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        x = x * (self.perceptron(mean) + self.perceptron(maximum)).sigmoid()
        seen = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        weights: Tensor = self.pixel(seen).sigmoid()
        return x * weights


class NonLocal(nn.Module):
    """Add to each pixel a mean over all pixels, weighted by likeness.

    ``x + W (softmax(theta(x)^T phi(x)) g(x))``, all four 1x1 convolutions with bias: the embedded Gaussian of Wang et
    al., CVPR 2018, doi 10.1109/CVPR.2018.00813, without batch normalization. W starts at zero, so that the block
    starts as the identity. ``2 C^2 + 5 C / 2`` parameters; the weights take ``(H W)^2`` values per image.

    Args:
        channels: C, even; the comparison has C / 2.

    Shape:
        (B, C, H, W) to (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, channels // 2, 1)
        self.phi = nn.Conv2d(channels, channels // 2, 1)
        self.g = nn.Conv2d(channels, channels // 2, 1)
        self.out = nn.Conv2d(channels // 2, channels, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with what was seen elsewhere."""
        seen = (self.g(x).flatten(2) @ self.affinity(x).transpose(1, 2)).reshape(
            x.shape[0], x.shape[1] // 2, x.shape[2], x.shape[3]
        )
        change: Tensor = self.out(seen)
        return x + change

    def affinity(self, x: Tensor) -> Tensor:
        """Return the weights (B, H W, H W) with which each pixel (row) sees each other; a row sums to 1."""
        weights: Tensor = (self.theta(x).flatten(2).transpose(1, 2) @ self.phi(x).flatten(2)).softmax(dim=2)
        return weights
