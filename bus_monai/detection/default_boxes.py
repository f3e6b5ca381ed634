"""Default boxes of SSD300."""

from __future__ import annotations

import torch
from monai.data.box_utils import CenterSizeMode, StandardMode, convert_box_mode
from torch import Tensor

SIDES = (38, 19, 10, 5, 3, 1)
"""Cells a side of the six feature maps of a 300 x 300 image."""
STEPS = (8, 16, 32, 64, 100, 300)
"""Pixels between cells; the sides times these are not always 300, since maps are rounded up."""
SCALES = (0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05)
"""Side of the square box of each map as a share of the image, and of a map that would follow."""
RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
"""Width by height of the other boxes of each map, which come lying and standing."""
BOXES_A_CELL = tuple(2 + 2 * len(ratios) for ratios in RATIOS)
INPUT_SIDE = 300


def default_boxes() -> Tensor:
    """Return the boxes that SSD300 starts from.

    Each cell has a square of its map's scale, one of the geometric mean of this scale and the next, and two boxes of
    the same area for each ratio. Liu et al., ECCV 2016, doi 10.1007/978-3-319-46448-0_2, section 2.2: scales from 0.2
    to 0.9 as their code rounds them, and 0.1 for the first map.

    Returns:
        (8732, 4), left, top, right, bottom as shares of the image, in the order of the network's output: map, row,
        column, box. Boxes at the border reach beyond the image.
    """
    maps = []
    for i, (side, step) in enumerate(zip(SIDES, STEPS, strict=True)):
        centres = (torch.arange(side, dtype=torch.float32) + 0.5) * step / INPUT_SIDE
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        sizes = torch.tensor(_sizes(i))
        cells = torch.stack([columns, rows], dim=-1)[:, :, None].expand(-1, -1, len(sizes), -1)
        maps.append(torch.cat([cells, sizes.expand(side, side, -1, -1)], dim=-1).reshape(-1, 4))
    corners: Tensor = convert_box_mode(torch.cat(maps), src_mode=CenterSizeMode, dst_mode=StandardMode)
    return corners


def _sizes(level: int) -> list[tuple[float, float]]:
    scale = SCALES[level]
    between = (scale * SCALES[level + 1]) ** 0.5
    sizes = [(scale, scale), (between, between)]
    for ratio in RATIOS[level]:
        stretch = ratio**0.5
        sizes += [(scale * stretch, scale / stretch), (scale / stretch, scale * stretch)]
    return sizes
