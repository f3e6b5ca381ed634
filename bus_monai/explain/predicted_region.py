"""The pixels that are to be explained."""

from __future__ import annotations

from torch import Tensor


def predicted_region(logits: Tensor) -> Tensor:
    """Return where logits (1, 1, H, W) say lesion, as 0 and 1; the likeliest pixel alone where they say so nowhere.

    Example:
        >>> import torch
        >>> predicted_region(torch.tensor([[[[-3.0, -1.0], [-2.0, -4.0]]]])).flatten().tolist()
        [0.0, 1.0, 0.0, 0.0]
    """
    return (logits >= logits.amax().clamp(max=0)).to(logits.dtype)
