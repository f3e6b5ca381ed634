"""From a batch to plain tensors on the device."""

from __future__ import annotations

from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor


def prepare_plain_batch(
    batchdata: dict[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """Return image and label as plain tensors on ``device``.

    MONAI's ``MetaTensor`` takes its detour through every operation of a network; plain tensors do not.
    """
    image, label = (
        plain_tensor(batchdata[key]).to(device, non_blocking=non_blocking) for key in (Keys.IMAGE, Keys.LABEL)
    )
    return image, label


def prepare_plain_image(
    batchdata: dict[str, Any], device: str | torch.device | None = None, non_blocking: bool = False
) -> Tensor:
    """Return the image of a batch without label as a plain tensor on ``device``."""
    return plain_tensor(batchdata[Keys.IMAGE]).to(device, non_blocking=non_blocking)


def plain_tensor(tensor: Tensor) -> Tensor:
    """Take the metadata off."""
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
