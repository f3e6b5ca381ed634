"""What a network sees in an image, as one vector."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def image_features(network: nn.Module, layer: str, image: Tensor) -> NDArray[np.float32]:
    """Return the mean features (C,) of an image (1, 1, H, W) in a named layer, of length 1."""
    found: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: found.append(output.mean(dim=(2, 3))[0])
    )
    try:
        with torch.no_grad():
            network(image)
    finally:
        hook.remove()
    values = found[0].float().cpu().numpy()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-12), dtype=np.float32)
