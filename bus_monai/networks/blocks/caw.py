"""Channel attention with channel weighting, the CAW block."""

from __future__ import annotations

import torch
from monai.networks.blocks.squeeze_and_excitation import ChannelSELayer
from torch import Tensor, nn

from bus_monai.errors import UserError

MODES = ("both", "channel_attention", "channel_weighting", "none")
REDUCTION = 16
"""Hu et al. (CVPR 2018)."""


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
        if mode not in MODES:
            raise UserError(f"caw is {mode!r}: use one of {', '.join(MODES)}.")
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
    the learnt ``beta`` starts at 0: the channel attention of DANet (Fu et al., CVPR 2019, arXiv 1809.02983), whose
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
