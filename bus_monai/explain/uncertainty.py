"""Uncertainty of a segmenter: Monte-Carlo dropout and test-time augmentation."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from monai.networks.utils import eval_mode, train_mode
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.dropout import _DropoutNd  # the base class of all dropout layers, which has no public name

MAX_SHIFT_SHARE = 1 / 32
"""Of the test-time augmentation, as a share of the shorter side."""


def has_dropout(network: nn.Module) -> bool:
    """Tell whether the network has a dropout layer of a rate above 0."""
    return any(True for _ in _dropout_layers(network))


def dropout_uncertainty(network: nn.Module, image: Tensor, *, samples: int, seed: int = 0) -> Tensor:
    """Return the standard deviation of the probability over passes with dropout.

    Gal and Ghahramani, ICML 2016, arXiv 1506.02142. Only the dropout layers are in training mode.

    Args:
        network: (B, 1, H, W) in [0, 1] to logits (B, 1, H, W).
        image: (1, 1, H, W), values in [0, 1].
        samples: number of passes, at least 2.
        seed: of the dropout; the global random state stays as it is.

    Returns:
        (H, W), values in [0, 0.5].
    """
    layers = list(_dropout_layers(network))
    devices = [image.device] if image.is_cuda else []
    with eval_mode(network), train_mode(*layers), torch.no_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        passes = torch.cat([network(image).sigmoid() for _ in range(samples)])
    return passes.std(dim=0, correction=0)[0]


def augmentation_uncertainty(network: nn.Module, image: Tensor) -> Tensor:
    """Return the standard deviation of the probability over mirrored and shifted images.

    Wang et al., Neurocomputing 2019, doi 10.1016/j.neucom.2019.01.103. The image as it is and shifted by
    :data:`MAX_SHIFT_SHARE` up, down, left and right, each also mirrored left to right: ten passes, each mapped back.
    Never upside down, since sound comes from above. A pixel that a shift moves out of the image is left out of that
    pass.

    Args:
        network: (B, 1, H, W) in [0, 1] to logits (B, 1, H, W).
        image: (1, 1, H, W), values in [0, 1].

    Returns:
        (H, W), values in [0, 0.5].
    """
    step = max(1, round(MAX_SHIFT_SHARE * min(image.shape[2:])))
    passes = []
    with eval_mode(network):
        for down, right in ((0, 0), (step, 0), (-step, 0), (0, step), (0, -step)):
            seen = F.pad(image, (right, -right, down, -down), mode="replicate")
            for probability in (network(seen).sigmoid(), network(seen.flip(3)).sigmoid().flip(3)):
                passes.append(F.pad(probability, (-right, right, -down, down), value=float("nan")))
    values = torch.cat(passes)
    return ((values - values.nanmean(dim=0)) ** 2).nanmean(dim=0).sqrt()[0]


def _dropout_layers(network: nn.Module) -> Iterator[nn.Module]:
    return (layer for layer in network.modules() if isinstance(layer, _DropoutNd) and layer.p > 0)
