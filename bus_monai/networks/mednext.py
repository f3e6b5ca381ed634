"""MedNeXt that compiles."""

from __future__ import annotations

import torch
from monai.networks.blocks.mednext_block import MedNeXtBlock
from monai.networks.nets.mednext import MedNeXtSmall
from torch import Tensor, nn


class MedNeXt(nn.Module):
    """MONAI's two-dimensional ``MedNeXtSmall`` with 3x3 kernels.

    Roy et al., MICCAI 2023, doi 10.1007/978-3-031-43901-8_39; 5,471,969 parameters.

    Shape:
        (B, 1, H, W) with values in [0, 1] to logits (B, 1, H, W), H and W divisible by 16.
    """

    def __init__(self) -> None:
        super().__init__()
        parts = MedNeXtSmall(spatial_dims=2, in_channels=1, out_channels=1)
        for block in parts.modules():
            if isinstance(block, MedNeXtBlock):
                # TorchScript looks these up even where the normalisation that uses them is off
                block.global_resp_gamma = block.global_resp_beta = torch.zeros(())
        self.stem, self.bottleneck, self.out_0 = parts.stem, parts.bottleneck, parts.out_0
        self.enc_stages, self.down_blocks = parts.enc_stages, parts.down_blocks
        self.up_blocks, self.dec_stages = parts.up_blocks, parts.dec_stages

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        skips: list[Tensor] = []
        x = self.stem(x)
        for stage, down in zip(self.enc_stages, self.down_blocks):  # noqa: B905 (TorchScript's zip takes no strict)
            skips.append(stage(x))
            x = down(skips[-1])
        x = self.bottleneck(x)
        for up, stage in zip(self.up_blocks, self.dec_stages):  # noqa: B905
            x = stage(up(x) + skips.pop())
        return self.out_0(x)
