"""The output of a detector that finds given boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bus_monai.detection.boxes import BOX_CODER, default_boxes, match_boxes


def output_of(boxes: Tensor, scores: Sequence[float]) -> Tensor:
    """Return (1, 6, 8732) that decodes to ``boxes`` (N, 4), left, top, right, bottom as shares, with ``scores``."""
    defaults = default_boxes()
    output = torch.zeros(6, len(defaults))
    output[4] = 20
    matched = match_boxes(boxes, defaults)
    for number, score in enumerate(scores):
        place = int((matched == number).nonzero()[0])
        output[:4, place] = BOX_CODER.encode_single(boxes[number][None], defaults[place][None])[0]
        output[4:, place] = torch.tensor([1 - score, score]).log()
    return output[None]
