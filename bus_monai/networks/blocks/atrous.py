"""Atrous convolution block of the cGAN with AC and CAW."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AtrousBlock(nn.Module):
    """3x3 convolutions of several dilation rates beside the mean of a 1x1 convolution, side by side.

    The convolutions of ``rates``, in that order and each with LeakyReLU 0.2, come first and the mean comes last; all
    are brought back to the size of the input, the convolutions bilinearly. Singh et al., "Breast tumor segmentation in
    ultrasound images using contextual-information-aware deep adversarial learning framework", Expert Systems with
    Applications 2020, doi 10.1016/j.eswa.2020.113870, which follows DeepLab (arXiv 1706.05587). Neither the width of
    the branches nor the bilinear up-sampling is published.

    Args:
        in_channels: channels of the input.
        branch_channels: channels of each branch.
        rates: dilation rates, which are the paddings too.
        stride: of the 3x3 convolutions.

    Attributes:
        out_channels: ``branch_channels * (len(rates) + 1)``.

    Shape:
        (B, in_channels, H, W) to (B, out_channels, H, W).
    """

    def __init__(
        self, in_channels: int, branch_channels: int, *, rates: Sequence[int] = (1, 6, 9), stride: int = 2
    ) -> None:
        super().__init__()
        self.out_channels = branch_channels * (len(rates) + 1)
        self.dilated = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(in_channels, branch_channels, 3, stride=stride, padding=rate, dilation=rate),
                nn.LeakyReLU(0.2),
            )
            for rate in rates
        )
        self.pooled = nn.Conv2d(in_channels, branch_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches, one after the other."""
        height, width = x.shape[2], x.shape[3]
        outputs: list[Tensor] = []
        for branch in self.dilated:
            outputs.append(F.interpolate(branch(x), size=[height, width], mode="bilinear", align_corners=False))
        # the mean of a 1x1 convolution is the convolution of the mean
        mean = self.pooled(x.mean(dim=[2, 3], keepdim=True))
        outputs.append(mean.expand(-1, -1, height, width))
        return torch.cat(outputs, dim=1)
