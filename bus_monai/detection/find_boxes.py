"""From the output of a detector to boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.data.box_utils import non_max_suppression
from torch import Tensor

from bus_monai.detection.box_coding import BOX_CODER

LEAST_SCORE = 0.5
MOST_OVERLAP = 0.45
"""IoU above which the weaker of two boxes is dropped."""
MOST_CANDIDATES = 400
"""The strongest boxes that are looked at, as in Liu et al.'s code: suppression compares each with each."""


@dataclass(frozen=True)
class FoundBoxes:
    """What a detector found in an image.

    Args:
        boxes: (N, 4), left, top, right, bottom as shares of the image, in [0, 1].
        scores: (N,), probabilities, highest first.
    """

    boxes: Tensor
    scores: Tensor


@torch.no_grad()
def find_boxes(
    offsets: Tensor,
    logits: Tensor,
    defaults: Tensor,
    *,
    least_score: float = LEAST_SCORE,
    most_overlap: float = MOST_OVERLAP,
) -> list[FoundBoxes]:
    """Decode, drop what scores low, suppress what overlaps a stronger box too much.

    Boxes are cut at the border of the image; what is left without area is dropped.

    Args:
        offsets: (B, D, 4) from :class:`~bus_monai.networks.ssd300.SSD300`.
        logits: (B, D, 2), background first.
        defaults: (D, 4), left, top, right, bottom as shares of the image.
        least_score: probability from which on a box counts; low for curves over all thresholds.
        most_overlap: IoU above which the weaker of two boxes is dropped.
    """
    scores = logits.float().softmax(dim=-1)[..., 1]
    return [_find(o, s, defaults, least_score, most_overlap) for o, s in zip(offsets.float(), scores, strict=True)]


def _find(offsets: Tensor, scores: Tensor, defaults: Tensor, least_score: float, most_overlap: float) -> FoundBoxes:
    order = scores.argsort(descending=True, stable=True)[:MOST_CANDIDATES]
    few = order[scores[order] >= least_score]
    boxes = BOX_CODER.decode_single(offsets[few], defaults[few]).clamp(0, 1)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    boxes, scores = boxes[has_area], scores[few[has_area]]
    kept = non_max_suppression(boxes, scores, most_overlap)
    return FoundBoxes(boxes[kept], scores[kept])
