"""Occlusion sensitivity of a segmenter."""

from __future__ import annotations

import warnings

import torch
from monai.networks.utils import eval_mode
from monai.visualize.occlusion_sensitivity import OcclusionSensitivity
from torch import Tensor, nn

from bus_monai.explain.predicted_region import predicted_region

PATCHES = 8
"""Patches along the shorter side; they overlap by half."""
BATCH = 16


def occlusion_map(network: nn.Module, image: Tensor) -> Tensor:
    """Show how much of the predicted lesion is lost when a part of the image is hidden.

    A square patch is set to the mean of the image (Zeiler and Fergus, ECCV 2014, doi 10.1007/978-3-319-10590-1_53; as
    MONAI has it), and the mean probability over the lesion that was predicted without it is taken anew. A pixel's value
    is the loss, averaged over the patches that cover it; a gain counts as 0.

    Args:
        network: (B, 1, H, W) in [0, 1] to logits (B, 1, H, W).
        image: (1, 1, H, W), values in [0, 1].

    Returns:
        (H, W), values in [0, 1].
    """
    with eval_mode(network):
        logits = network(image)
    region = predicted_region(logits)
    sensitivity = OcclusionSensitivity(
        _RegionProbability(network, region),
        mask_size=max(1, min(image.shape[2:]) // PATCHES),
        n_batch=BATCH,
        verbose=False,
        mode="mean_img",
        overlap=0.5,
        activate=False,
    )
    with warnings.catch_warnings():
        # MONAI indexes with a list of slices, of which torch warns
        warnings.filterwarnings("ignore", message="Using a non-tuple sequence")
        occluded, _ = sensitivity(image)
    whole: Tensor = (logits.sigmoid() * region).sum() / region.sum()
    return (whole - torch.as_tensor(occluded).as_subclass(Tensor)[0, 0]).clamp(min=0)


class _RegionProbability(nn.Module):
    """The mean probability over a region (1, 1, H, W), (B, 1, H, W) to (B, 1)."""

    def __init__(self, network: nn.Module, region: Tensor) -> None:
        super().__init__()
        self.network = network
        self.region = region

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return (logits.sigmoid() * self.region).sum(dim=(2, 3)) / self.region.sum()
