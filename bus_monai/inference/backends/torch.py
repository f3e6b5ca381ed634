"""A bundle as PyTorch runs it, eager or as TorchScript."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.run import bundle_parts
from bus_monai.geometry.box import Box, Region
from bus_monai.inference.backends.backend import Precision, Prediction
from bus_monai.inference.backends.chain import Chain, segment_regions
from bus_monai.networks.lite_unet import knows_images
from bus_monai.trainers.base import gains_by_half_precision
from bus_monai.transforms.crop import REGIONS_KEY, crops_to_region
from bus_monai.transforms.image_region import find_regions


class TorchBackend:
    """Run the transforms, the inferer and the network of a bundle's ``inference.json`` as they are.

    Args:
        model: a segmenter.
        precision: ``fp32``, or ``fast``, which is bfloat16 on CUDA and on processors that are fast in it.

    Raises:
        UserError: the weights are missing, broken or of another network.
    """

    name = "torch"

    def __init__(self, model: TrainedModel, precision: Precision = "fast") -> None:
        self.parts = bundle_parts(model)
        self._crops = crops_to_region(self.parts.before)
        self._turn = Lock()  # an image has all cores already, and the memory of one at a time is enough
        self.bfloat16 = precision == "fast" and gains_by_half_precision(self.parts.device)

    def __call__(self, pixels: NDArray[np.float32], regions: Sequence[Region] | None = None) -> Prediction:
        """Segment a screen, see :class:`~bus_monai.inference.backends.backend.Backend`."""
        if not self._crops:
            return self._run(pixels)
        return segment_regions(pixels, find_regions(pixels) if regions is None else regions, self._run)

    def _run(self, pixels: NDArray[np.float32]) -> Prediction:
        parts = self.parts
        with self._turn:
            item = prepared(parts.before, pixels)
            image = item["image"].as_tensor()[None].to(parts.device)
            with torch.inference_mode(), torch.autocast(parts.device.type, torch.bfloat16, enabled=self.bfloat16):
                logits = parts.inferer(image, parts.network)[0]
                distance = self._distance(image)
            return Prediction(inverted(parts.after, item, logits), distance)

    def _distance(self, image: Tensor) -> float:
        network = self.parts.network
        if not knows_images(network):
            return 0.0
        # a sliding window leaves the image as large as it is, and the features of another size are others
        if image.shape[2:] != self.parts.size:
            image = functional.interpolate(image, self.parts.size, mode="bilinear", antialias=True)
        return float(network.distance(image)[0])


def prepared(steps: Compose, pixels: NDArray[np.float32]) -> dict[str, Any]:
    """Prepare an image (h, w), all of it ultrasound, for the network as ``image`` of an item."""
    whole = (Region(Box.of_image(pixels.shape)),)
    item: dict[str, Any] = steps({"image": MetaTensor(torch.from_numpy(pixels.copy())[None]), REGIONS_KEY: whole})
    return item


def inverted(steps: Compose, item: dict[str, Any], values: Tensor) -> NDArray[np.float32]:
    """Put values (1, h, w) of a prepared item back to the size that its image had."""
    # MONAI leaves a plain tensor as it is where it would invert a MetaTensor
    return np.asarray(steps(item | {"pred": MetaTensor(values.float().cpu())})["pred"].as_tensor()[0])


class TorchScriptBackend:
    """Run a graph of :func:`~bus_monai.inference.backends.export_graph.write_torchscript` in float32.

    Args:
        graph: the file.
        chain: what surrounds its network.
    """

    name = "torchscript"

    def __init__(self, graph: Path, chain: Chain) -> None:
        self.chain = chain
        jit: Any = torch.jit  # which has no types
        self._module = jit.load(str(graph), map_location="cpu")

    def __call__(self, pixels: NDArray[np.float32], regions: Sequence[Region] | None = None) -> Prediction:
        """Segment a screen, see :class:`~bus_monai.inference.backends.backend.Backend`."""
        return self.chain.segment(pixels, regions, self._run)

    def _run(self, image: NDArray[np.float32]) -> Prediction:
        # a copy: cached matrices are read-only, which tensors cannot be
        inputs = [torch.from_numpy(value.copy()) for value in self.chain.inputs(image).values()]
        with torch.inference_mode():
            found = self._module(*inputs)
        probability, *distance = found if isinstance(found, tuple) else (found,)
        return Prediction(np.asarray(probability), *(float(value[0]) for value in distance))
