"""From the mask of a mass to its shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.transforms.mass_crop import crop_mass


class ShapeClassifier:
    """Tell the shape of one mass.

    Args:
        network: (B, 1, 64, 64) to logits (B, 4), with its weights; it is put into evaluation mode.
        device: where it runs.
    """

    def __init__(self, network: nn.Module, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()

    @torch.no_grad()
    def __call__(self, mask: Tensor) -> dict[str, float]:
        """Return the probability of irregular, lobular, oval and round.

        Args:
            mask: (1, H, W) bool, one mass, of any size.

        Raises:
            UserError: the mask is empty.
        """
        logits = self.network(crop_mass(mask)[None].to(self.device))[0]
        return dict(zip(SHAPE_CLASSES, logits.double().softmax(dim=0).tolist(), strict=True))
