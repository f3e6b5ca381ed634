"""Adaptive average pooling that exports at any size."""

from __future__ import annotations

import torch
from torch import Tensor


def adaptive_mean(x: Tensor, bins: int) -> Tensor:
    """Return the means over ``bins`` x ``bins`` regions, as ``torch.nn.functional.adaptive_avg_pool2d`` does.

    Written as two matrix products, since ONNX has no adaptive pooling for sizes unknown at export.

    Args:
        x: (B, C, H, W).
        bins: regions along each side.

    Returns:
        (B, C, bins, bins).
    """
    return _weights(x.shape[2], bins, x) @ x @ _weights(x.shape[3], bins, x).transpose(0, 1)


def _weights(size: int, bins: int, like: Tensor) -> Tensor:
    """Row i averages the pixels from floor(i * size / bins) up to ceil((i + 1) * size / bins)."""
    pixel = torch.arange(size, device=like.device).unsqueeze(0)
    index = torch.arange(bins, device=like.device).unsqueeze(1)
    # in integers: pixel p touches region i where p + 1 > i * size / bins and p < (i + 1) * size / bins
    inside = ((pixel + 1) * bins > index * size) & (pixel * bins < (index + 1) * size)
    weights = inside.to(like.dtype)
    return weights / weights.sum(dim=1, keepdim=True)
