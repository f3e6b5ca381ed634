"""What an image would teach a segmenter: its uncertainty, and how far its features are from known ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from monai.networks.utils import eval_mode, train_mode
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.dropout import _DropoutNd  # the base class of all dropout layers, which has no public name

from bus_monai.networks.mutual_generators import MutualGenerators

DROPOUT_PASSES = 10
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


def uncertainty_map(network: nn.Module, image: Tensor) -> Tensor:
    """Return the uncertainty (H, W) of an image (1, 1, H, W), values in [0, 0.5].

    It is the standard deviation of the probability of the two generators of ASSGAN, or over passes with dropout, or
    over mirrored and shifted images where a network has neither.
    """
    if isinstance(network, MutualGenerators) and len(network.ensemble.networks) > 1:
        with torch.no_grad():
            probability = torch.cat([generator(image).sigmoid() for generator in network.ensemble.networks])
        return probability.std(dim=0, correction=0)[0]
    if has_dropout(network):
        return dropout_uncertainty(network, image, samples=DROPOUT_PASSES)
    return augmentation_uncertainty(network, image)


def k_center(points: NDArray[np.float32], chosen: NDArray[np.float32] | None) -> int:
    """Return which point comes next in the greedy solution of the k-center problem.

    Sener and Savarese, ICLR 2018, arXiv 1708.00489.

    Args:
        points: (N, C), N at least 1.
        chosen: (M, C); without any, the point nearest to the mean is the first center.
    """
    if chosen is None or not len(chosen):
        return int(cdist(points, points.mean(axis=0, keepdims=True))[:, 0].argmin())
    return int(cdist(points, chosen).min(axis=1).argmax())
