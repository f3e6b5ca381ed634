"""A map of a layer at the size of the image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.padded import Padded


def enlarge(values: Tensor, size: Sequence[int], network: nn.Module) -> Tensor:
    """Interpolate a map bilinearly to the size of the image that the network was given.

    A layer inside :class:`~bus_monai.networks.padded.Padded` also sees what was added below and to the right; that part
    of the map is cut off.

    Args:
        values: (B, C, h, w).
        size: H and W in pixels.
        network: whose layer gave the map.

    Returns:
        (B, C, H, W).
    """
    multiple = max((part.multiple for part in network.modules() if isinstance(part, Padded)), default=1)
    padded = [-(-side // multiple) * multiple for side in size]
    return F.interpolate(values, size=padded, mode="bilinear", align_corners=False)[:, :, : size[0], : size[1]]
