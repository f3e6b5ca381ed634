"""Which default box is to find which true box."""

from __future__ import annotations

import torch
from monai.data.box_utils import box_iou
from torch import Tensor

LEAST_IOU = 0.5
NO_TRUTH = -1


def match_boxes(truths: Tensor, defaults: Tensor) -> Tensor:
    """Assign true boxes to default boxes.

    Each true box first gets the default box that overlaps it most, the best pair of all first, so that none goes
    without and no default box serves two. Every other default box that overlaps a true box with an IoU of at least 0.5
    gets the one it overlaps most. Liu et al., ECCV 2016, doi 10.1007/978-3-319-46448-0_2, section 2.2.

    Args:
        truths: (T, 4), left, top, right, bottom as shares of the image.
        defaults: (D, 4), of the same form; D at least T.

    Returns:
        (D,) int64, the number of the true box, or -1 for background.
    """
    matched = torch.full((len(defaults),), NO_TRUTH, dtype=torch.long, device=defaults.device)
    if not len(truths):
        return matched
    iou = box_iou(truths, defaults)
    overlap, best = iou.max(dim=0)
    matched[overlap >= LEAST_IOU] = best[overlap >= LEAST_IOU]
    for _ in range(len(truths)):
        truth, default = divmod(int(iou.argmax()), len(defaults))
        matched[default] = truth
        iou[truth] = -1
        iou[:, default] = -1
    return matched
