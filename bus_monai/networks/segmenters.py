"""Segmentation networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.basic_unet import BasicUNet
from torch import nn

from bus_monai.errors import UserError, check_choice
from bus_monai.networks.cgan_generator import CGANGenerator
from bus_monai.networks.deeplabv3_plus import DeepLabV3Plus
from bus_monai.networks.erfnet import ERFNet
from bus_monai.networks.fcn import FCN
from bus_monai.networks.mednext import MedNeXt
from bus_monai.networks.multi_encoder_unet import multi_encoder
from bus_monai.networks.pspnet import PSPNet
from bus_monai.networks.rdau_net import RDAUNet
from bus_monai.networks.segnet import SegNet
from bus_monai.networks.swin_unetr import SwinUNETR
from bus_monai.networks.unet_plus_plus import UNetPlusPlus
from bus_monai.networks.wrappers import Padded, Standardised

CLASSICAL_WIDTHS = (64, 128, 256, 512, 1024)
"""U-Net as published by Ronneberger et al. (MICCAI 2015); MONAI's own default is 16 times smaller."""


def _unet() -> nn.Module:
    widths = (*CLASSICAL_WIDTHS, CLASSICAL_WIDTHS[0])
    return Padded(BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=widths, norm="batch"), 16)


def _attention_unet() -> nn.Module:
    net = AttentionUnet(spatial_dims=2, in_channels=1, out_channels=1, channels=CLASSICAL_WIDTHS, strides=(2, 2, 2, 2))
    return Padded(net, 16)


def _unet_plus_plus() -> nn.Module:
    return Padded(UNetPlusPlus(), 16)


def _segnet() -> nn.Module:
    return Padded(SegNet(), 32)


def _erfnet() -> nn.Module:
    return Padded(ERFNet(), 8)


def _mednext() -> nn.Module:
    return Padded(MedNeXt(), 16)


def _swin_unetr() -> nn.Module:
    return Padded(SwinUNETR(), 128)


BUILDERS: Mapping[str, Callable[..., nn.Module]] = {
    "attention_unet": _attention_unet,
    "cgan": CGANGenerator,
    "deeplabv3_plus": DeepLabV3Plus,
    "erfnet": _erfnet,
    "fcn": FCN,
    "mednext": _mednext,
    "multi_encoder": multi_encoder,
    "pspnet": PSPNet,
    "rdau": RDAUNet,
    "segnet": _segnet,
    "swin_unetr": _swin_unetr,
    "unet": _unet,
    "unet_plus_plus": _unet_plus_plus,
}
SEGMENTER_NAMES = tuple(BUILDERS)


def make_segmenter(name: str, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Make a segmenter that standardises its input itself; ``cgan`` maps [0, 1] to [-1, 1], whatever the data.

    Args:
        name: one of ``NAMES``.
        options: arguments of the network: those of :class:`~bus_monai.networks.rdau_net.RDAUNet` for ``rdau``,
            those of :class:`~bus_monai.networks.cgan_generator.CGANGenerator` for ``cgan``, those of
            :func:`~bus_monai.networks.multi_encoder_unet.multi_encoder` for ``multi_encoder``, ``backbone`` for
            ``deeplabv3_plus``, ``pspnet`` and ``fcn``; the others have none.

    Returns:
        A module from (B, 1, H, W) in [0, 1] to logits (B, 1, H, W), any H and W of at least 32.

    Raises:
        UserError: unknown name, or an option that the network does not have.

    Example:
        >>> import torch
        >>> make_segmenter("fcn", {"backbone": "resnet18"})(torch.rand(1, 1, 65, 77)).shape
        torch.Size([1, 1, 65, 77])
    """
    check_choice("network_name", name, SEGMENTER_NAMES)
    options = options or {}
    known = inspect.signature(BUILDERS[name]).parameters
    for option in options:
        if option not in known:
            use = f"use {', '.join(known)}" if known else "leave its options out"
            raise UserError(f"The network {name!r} has no option {option!r}: {use}.")
    network = BUILDERS[name](**options)
    return Standardised(network, fixed=isinstance(network, CGANGenerator))
