"""The mask of a mass in a whole mammogram."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from torch import Tensor, nn

from bus_monai.transforms.frames import Frame, tight_frame


class MassSegmenter:
    """Crop around a box, segment the crop, and put its mask back to its place.

    Args:
        network: from crops (B, 1, h, w) in [0, 1] to logits of their size; put into evaluation mode.
        preprocessing: of an item with ``image`` (1, H, W) and, where there is one, ``box``, to the network's input.
        postprocessing: of the item with ``pred``, the network's logits (1, h, w), to values in [0, 1], (1, H, W).
        threshold: from which value on a pixel is mass.
        device: where the network computes.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        preprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        postprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        threshold: float = 0.5,
        device: str | torch.device = "cpu",
    ) -> None:
        self.network = network.to(device).eval()
        self.preprocessing = preprocessing
        self.postprocessing = postprocessing
        self.threshold = threshold
        self.device = torch.device(device)

    def __call__(self, image: Tensor, box: Frame | None = None) -> Tensor:
        """Segment the mass in ``box``.

        Args:
            image: (1, H, W), values in [0, 1], the size of the source.
            box: around the mass, in whole pixels of the image; ``None`` takes the whole image as the crop.

        Returns:
            bool (1, H, W) on the CPU; no pixel outside the crop is set.

        Raises:
            UserError: the box has no pixel inside the image.
            ValueError: the image has another shape.
        """
        if image.ndim != 3 or image.shape[0] != 1:
            raise ValueError(f"image must have the shape (1, H, W), got {tuple(image.shape)}.")
        item: dict[str, Any] = {"image": MetaTensor(image.detach().cpu().float())}
        if box is not None:
            # here, since what a transform raises reaches the caller as a RuntimeError of MONAI's
            item["box"] = torch.tensor(tight_frame(box, (image.shape[1], image.shape[2])))
        item = self.preprocessing(item)
        with torch.no_grad():
            logits = self.network(item["image"].as_tensor()[None].to(self.device))[0]
        # MONAI leaves a plain tensor as it is where it would invert a MetaTensor
        item["pred"] = MetaTensor(logits.float().cpu())
        probability: Tensor = self.postprocessing(item)["pred"].as_tensor()
        return probability >= self.threshold
