"""What single-shot detectors of one layout of default boxes share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bus_monai.detection.default_boxes import BOXES_A_CELL, INPUT_SIDE
from bus_monai.errors import UserError

CLASSES = 2
"""Background and mass."""


class SSD(nn.Module):
    """Two convolutions on each of six feature maps: one for the places of boxes, one for their classes.

    A subclass makes the maps, of 38, 19, 10, 5, 3 and 1 cells a side. Liu et al., ECCV 2016, doi
    10.1007/978-3-319-46448-0_2 (arXiv 1512.02325), section 2.1.

    Args:
        widths: channels of the six maps.

    Shape:
        (B, 1, 300, 300) to offsets (B, 8732, 4) from the boxes of
        :func:`~bus_monai.detection.default_boxes.default_boxes`, and logits (B, 8732, 2), background first.

    Raises:
        UserError: an input of another size.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        counts = list(zip(widths, BOXES_A_CELL, strict=True))
        self.offsets = nn.ModuleList(nn.Conv2d(width, 4 * boxes, 3, padding=1) for width, boxes in counts)
        self.logits = nn.ModuleList(nn.Conv2d(width, CLASSES * boxes, 3, padding=1) for width, boxes in counts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return offsets and logits of ``x``."""
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            self._check(x)
        maps = self.maps(x)
        offsets, logits = [], []
        # by index, since TorchScript unrolls lists of modules but not those of tensors
        for i, (place, kind) in enumerate(zip(self.offsets, self.logits)):  # noqa: B905
            offsets.append(_by_box(place(maps[i]), 4))
            logits.append(_by_box(kind(maps[i]), 2))
        return torch.cat(offsets, dim=1), torch.cat(logits, dim=1)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the six feature maps of ``x``, finest first."""
        raise NotImplementedError

    def _check(self, x: Tensor) -> None:
        if x.shape[1:] != (1, INPUT_SIDE, INPUT_SIDE):
            name = type(self).__name__
            raise UserError(f"{name} got an input of shape {tuple(x.shape)}: give (B, 1, {INPUT_SIDE}, {INPUT_SIDE}).")


def _by_box(head: Tensor, values: int) -> Tensor:
    """Turn (B, boxes * values, H, W) into (B, H * W * boxes, values)."""
    return head.permute(0, 2, 3, 1).reshape(head.shape[0], -1, values)
