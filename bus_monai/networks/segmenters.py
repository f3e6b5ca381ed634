"""Segmentation networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from bus_monai.errors import UserError, check_choice, did_you_mean
from bus_monai.networks.cgan_generator import CGANGenerator
from bus_monai.networks.deeplabv3_plus import DeepLabV3Plus
from bus_monai.networks.erfnet import ERFNet
from bus_monai.networks.fcn import FCN
from bus_monai.networks.lite_unet import LiteUNet
from bus_monai.networks.mednext import MedNeXt
from bus_monai.networks.multi_encoder_unet import multi_encoder
from bus_monai.networks.pspnet import PSPNet
from bus_monai.networks.rdau_net import RDAUNet
from bus_monai.networks.resnet_unet import ResNetUNet
from bus_monai.networks.segnet import SegNet
from bus_monai.networks.swin_unet import SwinUNet
from bus_monai.networks.swin_unetr import SwinUNETR
from bus_monai.networks.unet import AttentionUNet, UNet, UNetPlusPlus
from bus_monai.networks.wrappers import Standardized

SEGMENTER_CLASSES: Mapping[str, Callable[..., nn.Module]] = {
    "attention_unet": AttentionUNet,
    "cgan": CGANGenerator,
    "deeplabv3_plus": DeepLabV3Plus,
    "erfnet": ERFNet,
    "fcn": FCN,
    "lite_unet": LiteUNet,
    "mednext": MedNeXt,
    "multi_encoder": multi_encoder,
    "pspnet": PSPNet,
    "rdau": RDAUNet,
    "resnet_unet": ResNetUNet,
    "segnet": SegNet,
    "swin_unet": SwinUNet,
    "swin_unetr": SwinUNETR,
    "unet": UNet,
    "unet_plus_plus": UNetPlusPlus,
}
SEGMENTER_NAMES = tuple(SEGMENTER_CLASSES)


def make_segmenter(name: str, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Make a segmenter that standardizes its input itself; ``cgan`` and ``lite_unet`` map [0, 1] to [-1, 1].

    Args:
        name: one of :data:`SEGMENTER_NAMES`.
        options: arguments of the class behind the name, of
            :func:`~bus_monai.networks.multi_encoder_unet.multi_encoder` for ``multi_encoder``; ``in_channels`` and
            ``out_channels`` are among those of all.

    Returns:
        A module from (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W), any H and W of at least 32.

    Raises:
        UserError: unknown name, or an option that the network does not have.

    Example:
        >>> import torch
        >>> make_segmenter("fcn", {"backbone": "resnet18"})(torch.rand(1, 1, 65, 77)).shape
        torch.Size([1, 1, 65, 77])
    """
    check_choice("network_name", name, SEGMENTER_NAMES)
    options = options or {}
    known = inspect.signature(SEGMENTER_CLASSES[name]).parameters
    for option in options:
        if option not in known:
            meant = did_you_mean(option, known)
            raise UserError(
                f"The network {name!r} has no option {option!r}{meant}: use {', '.join(known)}.", key=option
            )
    network = SEGMENTER_CLASSES[name](**options)
    return Standardized(network, fixed=isinstance(network, CGANGenerator | LiteUNet))
