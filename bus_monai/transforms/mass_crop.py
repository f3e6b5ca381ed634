"""A mass by itself, as the shape classifier sees it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_monai.detection.mask_box import mask_box
from bus_monai.errors import UserError
from bus_monai.networks.shape_cnn import SIDE
from bus_monai.transforms.frames import Frame, crop, loose_frame

MARGIN = 1.5
"""Side of the square by the longer side of the mass: the loose frame that the segmenter's input has, too."""


def crop_mass(mask: Tensor) -> Tensor:
    """Return a mass in the middle of a square of 64 x 64 pixels, whatever its size and place.

    The square is the loose frame of Singh et al., Expert Systems with Applications 139, 2020, doi
    10.1016/j.eswa.2019.112855. Where it leaves the image it goes on with background, so that no mass is moved off its
    centre or stretched. Pixels are averaged and those of at least one half are mass.

    Args:
        mask: (1, H, W) bool, one mass.

    Returns:
        (1, 64, 64) float32 of 0 and 1.

    Raises:
        UserError: the mask is empty.
    """
    if not mask.any():
        raise UserError("The mask of a mass is empty: give one with at least one pixel.")
    left, top, right, bottom = mask_box(mask[0].cpu().numpy())
    border = max(bottom - top, right - left)
    mass = F.pad(mask[:, top:bottom, left:right].to(torch.float32), [border] * 4)
    box = Frame(border, border, border + bottom - top, border + right - left)
    square = crop(mass, loose_frame(box, MARGIN, (mass.shape[1], mass.shape[2])))
    return (F.interpolate(square[None], size=(SIDE, SIDE), mode="area")[0] >= 0.5).to(torch.float32)
