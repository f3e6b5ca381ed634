"""Segmentation networks by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.networks.nets.basic_unet import BasicUNet
from torch import nn

from bus_monai.errors import UserError
from bus_monai.networks.rdau_net import RDAUNet
from bus_monai.networks.standardised import Standardised

CLASSICAL_WIDTHS = (64, 128, 256, 512, 1024, 64)
"""U-Net as published by Ronneberger et al. (MICCAI 2015); MONAI's own default is 16 times smaller."""
NAMES = ("rdau", "unet")


def make_segmenter(name: str, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Make a segmenter that standardises its input itself.

    Args:
        name: ``rdau`` (:class:`~bus_monai.networks.rdau_net.RDAUNet`) or ``unet`` (MONAI's ``BasicUNet`` at classical
            width with batch norm).
        options: arguments of ``RDAUNet``; a U-Net has none.

    Returns:
        A module from (B, 1, H, W) in [0, 1] to logits (B, 1, H, W).

    Raises:
        UserError: unknown name.
    """
    if name == "rdau":
        return Standardised(RDAUNet(**(options or {})))
    if name == "unet":
        return Standardised(
            BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=CLASSICAL_WIDTHS, norm="batch")
        )
    raise UserError(f"generator is {name!r}: use one of {', '.join(NAMES)}.")
