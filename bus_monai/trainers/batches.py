"""Convert batches to plain tensors on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

BOXES_KEY = "boxes"


def prepare_plain_batch(
    batchdata: dict[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """Return image and label as plain tensors on ``device``.

    MONAI's ``MetaTensor`` takes its detour through every operation of a network; plain tensors do not.

    Example:
        >>> batch = {"image": MetaTensor(torch.zeros(2, 1, 8, 8)), "label": MetaTensor(torch.zeros(2, 1, 8, 8))}
        >>> [type(tensor).__name__ for tensor in prepare_plain_batch(batch)]
        ['Tensor', 'Tensor']
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
    """Return a ``MetaTensor`` as a plain tensor."""
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def fitting_batch_size(wanted: int, dataset: Sized) -> int:
    """Return ``wanted``, or fewer for a small data set, but at least 2: some networks need two images to train on."""
    return max(min(wanted, len(dataset)), 2)


def prepare_box_batch(
    batchdata: Sequence[Mapping[str, Any]],
    device: str | torch.device | None = None,
    non_blocking: bool = False,
    **kwargs: Any,
) -> tuple[Tensor, list[Tensor]]:
    """Stack images of one size and list their boxes.

    Args:
        batchdata: items that MONAI's ``no_collation`` left single, since images differ in their number of boxes. Each
            has ``image`` (1, H, W) and ``boxes`` (T, 4), top, left, bottom, right in its pixels.
        device: where the tensors go.
        non_blocking: copy to the device without waiting.
        **kwargs: ignored, as MONAI's engines hand on more.

    Returns:
        Images (B, 1, H, W), and for each image its boxes (T, 4), left, top, right, bottom as shares of the image.
    """
    images = torch.stack([plain_tensor(item[Keys.IMAGE]) for item in batchdata])
    height, width = images.shape[2:]
    sides = torch.tensor([width, height, width, height])
    boxes = [plain_tensor(item[BOXES_KEY])[:, [1, 0, 3, 2]] / sides for item in batchdata]
    return (
        images.to(device, non_blocking=non_blocking),
        [part.to(device, non_blocking=non_blocking) for part in boxes],
    )
