"""What an exported model must equal."""

from __future__ import annotations

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray

from bus_monai.detection.mask_box import mask_box
from bus_monai.errors import UserError
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.backends.export_graph import chain_of, obstacle
from bus_monai.inference.backends.torch_backend import TorchBackend
from bus_monai.inference.export_images import ExportImage
from bus_monai.inference.models import TrainedModel


class ExportReference:
    """A model as PyTorch computes it in float32, from the images that its graph takes.

    These are the images of files where the chain is resizing alone. Where it has more (filters, a crop around a box)
    they are what the network sees, and ``before`` names the steps that make them.

    Args:
        model: a segmenter.

    Raises:
        UserError: the weights are wrong, or the network sees windows of the image.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._whole = TorchBackend(model, "fp32")
        self.parts = self._whole.parts
        mode = self.parts.settings.get("inferer_mode", "resize")
        if mode != "resize":
            raise UserError(
                f"The model '{model.name}' has inferer_mode={mode}, whose windows no exported graph computes: set "
                "inferer_mode to resize."
            )
        self.prepares = obstacle(self.parts) is not None
        self.chain = Chain(self.parts.size) if self.prepares else chain_of(self.parts)
        steps = self.parts.before.flatten().transforms
        self.before = [type(step).__name__ for step in steps] if self.prepares else []

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities (H, W) of an image (H, W) that the graph takes."""
        if not self.prepares:
            return self._whole(pixels)
        with torch.inference_mode():
            image = torch.from_numpy(pixels.copy())[None, None].to(self.parts.device)
            return np.asarray(self.parts.network(image)[0, 0].sigmoid().cpu())

    def read(self, image: ExportImage) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Return what the graph takes of an image, and its lesions where they are known and of the same pixels."""
        pixels, truth = image.pixels(), image.truth()
        if not self.prepares:
            return pixels, truth
        item = {"image": MetaTensor(torch.from_numpy(pixels.copy())[None])}
        if truth is not None and truth.any():
            left, top, right, bottom = mask_box(truth)
            item["box"] = torch.tensor([top, left, bottom, right])
        return np.asarray(self.parts.before(item)["image"].as_tensor()[0]), None
