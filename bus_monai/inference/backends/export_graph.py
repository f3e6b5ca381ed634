"""A trained model as one ONNX graph from the pixels of a file to probabilities at their size."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.inferers.inferer import SlidingWindowInferer
from torch import Tensor, nn

from bus_monai.errors import UserError
from bus_monai.inference.backends.bundle_parts import BundleParts, bundle_parts
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.backends.find_graph import CHAIN, GRAPH
from bus_monai.inference.models import TrainedModel

OPSET = 17
NEUTRAL = {"speckle": "none", "equalization": "none", "inferer_mode": "resize"}
"""Settings with which the chain is resizing alone."""
STEPS = {"SpeckleReductiond", "HistogramEqualizationd", "CropImageRegiond", "Resized"}


class _Whole(nn.Module):
    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, image: Tensor, rows: Tensor, columns: Tensor, rows_back: Tensor, columns_back: Tensor) -> Tensor:
        # a fixed shape: runtimes optimise the network for it, whatever the size of the image
        seen = (rows @ image @ columns).reshape(1, 1, *self.size)
        probability = self.network(seen).sigmoid().reshape(self.size)
        return rows_back @ probability @ columns_back


def export_graph(model: TrainedModel, folder: Path) -> None:
    """Write ``model.onnx`` and ``chain.json`` into a folder.

    Inputs and outputs of the graph are those of :meth:`~bus_monai.inference.backends.chain.Chain.inputs`.

    Raises:
        UserError: the model's chain has more than resizing, or its weights are wrong.
    """
    parts = bundle_parts(model)
    chain = _chain_of(parts, model)
    inputs = tuple(torch.from_numpy(value.copy()) for value in chain.inputs(torch.rand(chain.size).numpy()).values())
    names = ["image", "rows", "columns", "rows_back", "columns_back"]
    height, width = {0: "height"}, {1: "width"}
    axes = {"image": height | width, "rows": {1: "height"}, "columns": {0: "width"}, "rows_back": height}
    with torch.no_grad():
        torch.onnx.export(
            _Whole(parts.network.cpu(), chain.size).eval(),
            inputs,
            str(folder / GRAPH),
            input_names=names,
            output_names=["probability"],
            dynamic_axes=axes | {"columns_back": width, "probability": height | width},
            opset_version=OPSET,
            dynamo=False,
        )
    chain.write(folder / CHAIN)


def _chain_of(parts: BundleParts, model: TrainedModel) -> Chain:
    for key, neutral in NEUTRAL.items():
        value = parts.settings.get(key, neutral)
        if value != neutral:
            raise UserError(
                f"The model '{model.name}' has {key}={value}, which no exported graph computes: use --backend torch."
            )
    steps = [type(step).__name__ for step in parts.before.transforms]
    unknown = [step for step in steps if step not in STEPS]
    if unknown or not isinstance(parts.inferer, SlidingWindowInferer):
        what = unknown[0] if unknown else type(parts.inferer).__name__
        raise UserError(f"The model '{model.name}' has {what}, which no exported graph computes: use --backend torch.")
    return Chain(parts.size, "CropImageRegiond" in steps)
