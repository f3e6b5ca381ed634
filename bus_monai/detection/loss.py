"""Losses of the detector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.detection.boxes import BOX_CODER, default_boxes, match_boxes
from bus_monai.detection.ssd import split_output

NEGATIVES_PER_POSITIVE = 3


class MultiBoxLoss(nn.Module):
    """Smooth L1 of the offsets of matched boxes plus cross-entropy of matched boxes and of the hardest others.

    Both are summed and divided by the number of matched boxes of the batch. Of the boxes without match, each image
    counts those with the highest cross-entropy, three for each matched one. An image without true boxes adds nothing,
    and a batch without any has loss 0: such images teach nothing. Liu et al., ECCV 2016, doi
    10.1007/978-3-319-46448-0_2, section 2.2.

    Shape:
        Offsets (B, 8732, 4), logits (B, 8732, 2), background first, and for each image its true boxes (T, 4), left,
        top, right, bottom as shares of the image; to a scalar.
    """

    defaults: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("defaults", default_boxes(), persistent=False)

    def forward(self, offsets: Tensor, logits: Tensor, truths: Sequence[Tensor]) -> Tensor:
        """Return the loss."""
        # half precision could not hold sums over thousands of boxes
        offsets, logits = offsets.float(), logits.float()
        matched = torch.stack([match_boxes(boxes, self.defaults) for boxes in truths])
        positive = matched >= 0
        place = offsets.new_zeros(())
        for i, boxes in enumerate(truths):
            wanted = BOX_CODER.encode_single(boxes[matched[i, positive[i]]], self.defaults[positive[i]])
            place = place + F.smooth_l1_loss(offsets[i, positive[i]], wanted, reduction="sum")
        entropy = F.cross_entropy(logits.transpose(1, 2), positive.long(), reduction="none")
        counted = positive | hard_negatives(entropy.detach(), positive)
        return (place + entropy[counted].sum()) / positive.sum().clamp(min=1)


def hard_negatives(loss: Tensor, positive: Tensor) -> Tensor:
    """Choose the negatives with the highest loss, three for each positive of the same row.

    Args:
        loss: (B, D).
        positive: (B, D) bool.

    Returns:
        (B, D) bool.
    """
    order = loss.masked_fill(positive, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)
    return (rank < NEGATIVES_PER_POSITIVE * positive.sum(dim=1, keepdim=True)) & ~positive


class DetectorLoss(nn.Module):
    """:class:`~bus_monai.detection.loss.MultiBoxLoss` of what :mod:`bus_monai.detection.ssd` gives.

    Shape:
        Output (B, 6, 8732), and for each image its true boxes (T, 4), left, top, right, bottom as shares of the
        image; to a scalar.
    """

    def __init__(self) -> None:
        super().__init__()
        self.multibox = MultiBoxLoss()

    def forward(self, output: Tensor, truths: Sequence[Tensor]) -> Tensor:
        """Return the loss."""
        loss: Tensor = self.multibox(*split_output(output), truths)
        return loss
