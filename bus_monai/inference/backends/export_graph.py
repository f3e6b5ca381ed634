"""Export a model as a graph: the network, and with it the chain around it."""

from __future__ import annotations

import io
import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.inferers.inferer import SlidingWindowInferer
from torch import Tensor, nn

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.run import BundleParts, bundle_parts
from bus_monai.errors import UserError
from bus_monai.inference.backends.backend import SHIFTS_KEY
from bus_monai.inference.backends.chain import CHAIN_FILE, GRAPH_FILE, Chain
from bus_monai.networks.lite_unet import knows_images
from bus_monai.transforms.crop import crops_to_region

ONNX_OPSET = 17


NEUTRAL_SETTINGS = {"speckle": "none", "equalization": "none", "inferer_mode": "resize"}
"""Settings with which the chain is resizing alone."""


NEUTRAL_TRANSFORMS = {"SpeckleReductiond", "HistogramEqualizationd", "CropImageRegiond", "Resized"}


class WholeGraph(nn.Module):
    """Resize, segment and resize back, with inputs and output as in :meth:`Chain.inputs`.

    A network that tells how far an image is from those that it knows has a second output, that distance.

    Args:
        network: from (1, 1, h, w) to logits of that shape.
        size: (h, w).
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(
        self,
        image: Tensor,
        rows: Tensor,
        columns: Tensor,
        rows_back: Tensor,
        columns_back: Tensor,
        shift: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the probabilities (H, W), and the distance (1,) where there is one."""
        # a fixed shape: runtimes optimize the network for it, whatever the size of the image
        seen = (rows @ image @ columns).reshape(1, 1, *self.size)
        if knows_images(self.network):
            logits, distance = self.network.with_distance(seen, shift)
            return rows_back @ logits.sigmoid().reshape(self.size) @ columns_back, distance
        probability: Tensor = self.network(seen).sigmoid().reshape(self.size)
        return rows_back @ probability @ columns_back


def export_graph(model: TrainedModel, folder: Path) -> None:
    """Write ``model.onnx`` and ``chain.json`` into a folder.

    Inputs and outputs of the graph are those of :meth:`~bus_monai.inference.backends.chain.Chain.inputs`.

    Raises:
        UserError: the model's chain has more than resizing, or its weights are wrong.
    """
    parts = bundle_parts(model)
    if what := obstacle(parts):
        raise UserError(f"The model '{model.name}' has {what}, which no exported graph computes: use --backend torch.")
    shifts = tuple(model.settings.get(SHIFTS_KEY, ())) if knows_images(parts.network) else ()
    chain = replace(chain_of(parts), shifts=shifts)
    write_onnx(parts.network, chain, folder / GRAPH_FILE)
    chain.write(folder / CHAIN_FILE)


def write_onnx(network: nn.Module, chain: Chain, file: Path) -> None:
    """Write the graph as ONNX."""
    graph, inputs = traceable(network, chain)
    height, width = {0: "height"}, {1: "width"}
    axes = {"image": height | width, "rows": {1: "height"}, "columns": {0: "width"}, "rows_back": height}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer and of constants, which the tests of the graph answer
        torch.onnx.export(
            graph,
            tuple(inputs.values()),
            str(file),
            input_names=list(inputs),
            output_names=["probability", "distance"] if knows_images(network) else ["probability"],
            dynamic_axes=axes | {"columns_back": width, "probability": height | width},
            opset_version=ONNX_OPSET,
            dynamo=False,
            # the weights as they are: runtimes fold constants, and normalization into kernels, themselves
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )


def write_torchscript(network: nn.Module, chain: Chain, file: Path) -> None:
    """Write the graph as TorchScript."""
    graph, inputs = traceable(network, chain)
    jit: Any = torch.jit  # which has no types
    with torch.no_grad():
        traced = jit.trace(graph, tuple(inputs.values()))
    # not to the file itself: where the disk is full, PyTorch's writer ends the whole process
    content = io.BytesIO()
    jit.save(traced, content)
    file.write_bytes(content.getbuffer())


def traceable(network: nn.Module, chain: Chain) -> tuple[WholeGraph, dict[str, Tensor]]:
    """Return the graph on the CPU, and inputs to trace it with."""
    inputs = chain.inputs(torch.rand(chain.size).numpy())
    tensors = {name: torch.from_numpy(value.copy()) for name, value in inputs.items()}
    # a copy: the network itself may go on computing where it is
    return WholeGraph(deepcopy(network).cpu(), chain.size).eval(), tensors


def chain_of(parts: BundleParts) -> Chain:
    """Return the :class:`Chain` of a model without :func:`obstacle`."""
    return Chain(parts.size, crops_to_region(parts.before))


def obstacle(parts: BundleParts) -> str | None:
    """Return the setting, transform or inferer that no graph computes; ``None`` where a model can be exported."""
    for key, neutral in NEUTRAL_SETTINGS.items():
        value = parts.settings.get(key, neutral)
        if value != neutral:
            return f"{key}={value}"
    steps = [type(step).__name__ for step in parts.before.flatten().transforms]
    unknown = [step for step in steps if step not in NEUTRAL_TRANSFORMS]
    if unknown or not isinstance(parts.inferer, SlidingWindowInferer):
        return unknown[0] if unknown else type(parts.inferer).__name__
    return None
