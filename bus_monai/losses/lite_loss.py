"""The loss of the small U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.losses.region import RegionLoss

DEEP_DECAY = 0.5
"""Each coarser map counts this much less than the one before it."""


class LiteLoss(nn.Module):
    """Binary cross-entropy and Dice of the mask, cross-entropy of whether there is a lesion, and coarser maps' losses.

    The Dice term is that of images with a lesion alone: in one without, all soft Dice has to go by is its smoothing,
    and the cross-entropy says the same with a gradient that does not vanish. With a presence head the cross-entropy of
    the mask is, too: what is not there is the head's business, and the map need not learn to say nothing in doubt.

    Args:
        presence_head: whether the second channel is the presence logit of
            :class:`~bus_monai.networks.lite_unet.LiteUNet`.
        presence_weight: of its cross-entropy.

    Shape:
        what the network gives while training, (B, C, H, W), and mask (B, 1, H, W) with values in {0, 1} to a scalar.
    """

    def __init__(self, *, presence_head: bool = False, presence_weight: float = 0.2) -> None:
        super().__init__()
        self.presence_head = presence_head
        self.presence_weight = presence_weight
        self._dice, self._bce = RegionLoss(dice=1.0), RegionLoss(bce=1.0)

    def forward(self, output: Tensor, mask: Tensor) -> Tensor:
        """Return the sum of the terms."""
        has_lesion = mask.flatten(1).any(dim=1)
        maps = torch.split(output, 1, dim=1)
        total = output.new_zeros(())
        if self.presence_head:
            presence, maps = maps[1][:, 0, 0, 0], maps[:1] + maps[2:]
            entropy = F.binary_cross_entropy_with_logits(presence, has_lesion.float())
            total = total + self.presence_weight * entropy
        weights = [DEEP_DECAY**i for i in range(len(maps))]
        for weight, logits in zip(weights, maps, strict=True):
            total = total + weight / sum(weights) * self._region(logits, mask, has_lesion)
        return total

    def _region(self, logits: Tensor, mask: Tensor, has_lesion: Tensor) -> Tensor:
        taught = has_lesion if self.presence_head else torch.ones_like(has_lesion)
        # of no image at all the sum is 0, with a gradient
        loss: Tensor = self._bce(logits[taught], mask[taught]) if torch.any(taught) else logits[taught].sum()
        return loss + self._dice(logits[has_lesion], mask[has_lesion]) if torch.any(has_lesion) else loss
