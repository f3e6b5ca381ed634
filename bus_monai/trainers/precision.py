"""Where half precision is worth it."""

from __future__ import annotations

import torch


def gains_by_half_precision(device: torch.device) -> bool:
    """Return whether networks run faster on ``device`` in half precision than in float32.

    On processors that is bfloat16, and PyTorch has fast kernels of it only for those with AVX-512 or Arm's BF16. On
    others it falls back to plain loops: there a training step of RDAU-NET takes 12 times as long as in float32 (one
    core of an AMD EPYC with AVX2).
    """
    if device.type == "cuda":
        return True
    # builds of PyTorch without oneDNN, such as those for macOS, lack the operator
    has_kernels = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(has_kernels and torch.ops.mkldnn._is_mkldnn_bf16_supported())
