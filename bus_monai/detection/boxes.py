"""Default boxes of the detector, their coding and matching, and decoding of its output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.apps.detection.utils.box_coder import BoxCoder
from monai.data.box_utils import CenterSizeMode, StandardMode, box_iou, convert_box_mode, non_max_suppression
from torch import Tensor

BOX_CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0), boxes_xform_clip=4.0)
"""Shifts of the center by the default box's size and logarithms of the ratios of sizes, in x, y, width and height.

Liu et al., ECCV 2016, doi 10.1007/978-3-319-46448-0_2, equation 2. The weights are the inverses of the variances in
their code, 0.1 and 0.2. A decoded logarithm of size is bounded, since an untrained network may say anything, but an
infinite box has no IoU: e^4 = 55 times a default box is more than any image.

Example:
    >>> import torch
    >>> box, default = torch.tensor([[0.2, 0.1, 0.6, 0.5]]), torch.tensor([[0.1, 0.1, 0.5, 0.5]])
    >>> offsets = BOX_CODER.encode_single(box, default)
    >>> offsets
    tensor([[2.5000, 0.0000, 0.0000, 0.0000]])
    >>> torch.allclose(BOX_CODER.decode_single(offsets, default), box)
    True
"""

MAP_SIDES = (38, 19, 10, 5, 3, 1)
"""Cells per side of the six feature maps of a 300 x 300 image."""
MAP_STRIDES_PX = (8, 16, 32, 64, 100, 300)
"""Pixels between cells; the sides times these are not always 300, since maps are rounded up."""
BOX_SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
"""Side of the square box of each map as a share of the image, and of a map that would follow: those for small objects,
Liu et al., section 3.4. Of the masses of CBIS-DDSM 87 % overlap one of these boxes by half, and 60 % one of those that
begin at 0.1."""
ASPECT_RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
"""Width by height of the other boxes of each map, which come lying and standing."""
BOXES_PER_CELL = tuple(2 + 2 * len(ratios) for ratios in ASPECT_RATIOS)
INPUT_SIDE = 300
MIN_SCORE = 0.5
MAX_OVERLAP = 0.45
"""IoU above which the weaker of two boxes is dropped."""
MAX_CANDIDATES = 400
"""The strongest boxes that are looked at, as in Liu et al.'s code: suppression compares each with each."""
MIN_MATCH_IOU = 0.5
NO_TRUTH = -1


def default_boxes() -> Tensor:
    """Return the boxes that SSD300 starts from.

    Each cell has a square of its map's scale, one of the geometric mean of this scale and the next, and two boxes of
    the same area for each ratio. Liu et al., ECCV 2016, doi 10.1007/978-3-319-46448-0_2, section 2.2: scales from 0.15
    to 0.9 as their code rounds them, and 0.07 for the first map.

    Returns:
        (8732, 4), left, top, right, bottom as shares of the image, in the order of the network's output: map, row,
        column, box. Boxes at the border reach beyond the image.
    """
    maps = []
    for i, (side, step) in enumerate(zip(MAP_SIDES, MAP_STRIDES_PX, strict=True)):
        centers = (torch.arange(side, dtype=torch.float32) + 0.5) * step / INPUT_SIDE
        rows, columns = torch.meshgrid(centers, centers, indexing="ij")
        sizes = torch.tensor(_sizes(i))
        cells = torch.stack([columns, rows], dim=-1)[:, :, None].expand(-1, -1, len(sizes), -1)
        maps.append(torch.cat([cells, sizes.expand(side, side, -1, -1)], dim=-1).reshape(-1, 4))
    corners: Tensor = convert_box_mode(torch.cat(maps), src_mode=CenterSizeMode, dst_mode=StandardMode)
    return corners


def _sizes(level: int) -> list[tuple[float, float]]:
    scale = BOX_SCALES[level]
    between = (scale * BOX_SCALES[level + 1]) ** 0.5
    sizes = [(scale, scale), (between, between)]
    for ratio in ASPECT_RATIOS[level]:
        stretch = ratio**0.5
        sizes += [(scale * stretch, scale / stretch), (scale / stretch, scale * stretch)]
    return sizes


@dataclass(frozen=True)
class FoundBoxes:
    """Detections in one image.

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
    min_score: float = MIN_SCORE,
    max_overlap: float = MAX_OVERLAP,
) -> list[FoundBoxes]:
    """Decode, drop what scores low, suppress what overlaps a stronger box too much.

    Boxes are cut at the border of the image; what is left without area is dropped.

    Args:
        offsets: (B, D, 4) from :class:`~bus_monai.detection.ssd.SSD300`.
        logits: (B, D, 2), background first.
        defaults: (D, 4), left, top, right, bottom as shares of the image.
        min_score: probability from which on a box counts; low for curves over all thresholds.
        max_overlap: IoU above which the weaker of two boxes is dropped.

    Returns:
        What was found in each image.

    Example:
        >>> defaults = torch.tensor([[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]])
        >>> (found,) = find_boxes(torch.zeros(1, 2, 4), torch.tensor([[[0.0, 3.0], [3.0, 0.0]]]), defaults)
        >>> found.boxes
        tensor([[0.1000, 0.1000, 0.5000, 0.5000]])
    """
    scores = logits.float().softmax(dim=-1)[..., 1]
    return [_find(o, s, defaults, min_score, max_overlap) for o, s in zip(offsets.float(), scores, strict=True)]


def _find(offsets: Tensor, scores: Tensor, defaults: Tensor, min_score: float, max_overlap: float) -> FoundBoxes:
    order = scores.argsort(descending=True, stable=True)[:MAX_CANDIDATES]
    few = order[scores[order] >= min_score]
    boxes = BOX_CODER.decode_single(offsets[few], defaults[few]).clamp(0, 1)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    boxes, scores = boxes[has_area], scores[few[has_area]]
    kept = non_max_suppression(boxes, scores, max_overlap)
    return FoundBoxes(boxes[kept], scores[kept])


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

    Example:
        >>> defaults = torch.tensor([[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]])
        >>> match_boxes(torch.tensor([[0.5, 0.5, 0.9, 0.9]]), defaults)
        tensor([-1,  0])
    """
    matched = torch.full((len(defaults),), NO_TRUTH, dtype=torch.long, device=defaults.device)
    if not len(truths):
        return matched
    iou = box_iou(truths, defaults)
    overlap, best = iou.max(dim=0)
    matched[overlap >= MIN_MATCH_IOU] = best[overlap >= MIN_MATCH_IOU]
    for _ in range(len(truths)):
        truth, default = divmod(int(iou.argmax()), len(defaults))
        matched[default] = truth
        iou[truth] = -1
        iou[:, default] = -1
    return matched
