"""An exported model: its graph, the chain before and after it as numbers, and where both are kept."""

from __future__ import annotations

import io
import json
import warnings
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from math import erf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers.inferer import SlidingWindowInferer
from numpy.typing import NDArray
from torch import Tensor, nn

from bus_monai.bundle.models import TrainedModel, model_key
from bus_monai.bundle.run import BundleParts, bundle_parts
from bus_monai.errors import UserError, writing
from bus_monai.geometry.box import Box
from bus_monai.io.atomic import whole_folder
from bus_monai.io.cache import cache_folder

TRUNCATED = 4.0
"""Standard deviations at which MONAI cuts its Gaussian filter."""


@lru_cache(maxsize=64)
def resize_matrix(source: int, target: int, *, anti_aliasing: bool) -> NDArray[np.float32]:
    """Return the matrix (target, source) that resizes one axis as MONAI's ``Resize`` with ``mode="bilinear"`` does.

    That is linear interpolation between the middles of pixels; with ``anti_aliasing`` and fewer pixels than before,
    after a Gaussian filter of standard deviation ``(source / target - 1) / 2``, zeros beyond the edge.

    Args:
        source: pixels before.
        target: pixels after.
        anti_aliasing: filter first.

    Example:
        >>> resize_matrix(2, 1, anti_aliasing=False)
        array([[0.5, 0.5]], dtype=float32)
    """
    positions = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
    left = positions.astype(int)
    right = np.minimum(left + 1, source - 1)
    weight = positions - left
    kernel = _gaussian((source / target - 1) / 2 if anti_aliasing and target < source else 0.0)
    tail = len(kernel) // 2
    # so wide that what lies beyond the edges has a place too
    wide = np.zeros((target, source + 2 * tail))
    lines = np.arange(target)
    for offset, share in enumerate(kernel):
        wide[lines, left + offset] += (1 - weight) * share
    for offset, share in enumerate(kernel):
        wide[lines, right + offset] += weight * share
    matrix = wide[:, tail : tail + source].astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def _gaussian(sigma: float) -> list[float]:
    """Return the weights of the pixels around one, an odd number of them."""
    if sigma <= 0:
        return [1.0]
    tail = int(max(sigma * TRUNCATED, 0.5) + 0.5)
    edges = [erf((x - 0.5) / (sqrt(2) * sigma)) for x in range(-tail, tail + 2)]
    return [(after - before) / 2 for before, after in pairwise(edges)]


@dataclass(frozen=True)
class Chain:
    """The deterministic steps before and after the network that its exported graph is given as matrices.

    Args:
        size: (h, w) that the network sees, in pixels.
        crop_region: cut out the region of the image first, without borders and interface.
    """

    size: tuple[int, int]
    crop_region: bool = False

    def inputs(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the inputs of the graph for an image (H, W).

        ``rows @ image @ columns`` is what the network sees, ``rows_back @ probability @ columns_back`` is the map at
        the size of the image, 0 outside the region.
        """
        height, width = pixels.shape
        region = _find_region(pixels) if self.crop_region else Box.of_image(pixels.shape)
        h, w = self.size
        return {
            "image": pixels,
            "rows": _into(h, height, region.top, region.bottom),
            "columns": _into(w, width, region.left, region.right).T,
            "rows_back": _back(h, height, region.top, region.bottom),
            "columns_back": _back(w, width, region.left, region.right).T,
        }

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Chain:
        """Read what :meth:`write` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(content["size"]), bool(content["crop_region"]))


def _find_region(pixels: NDArray[np.float32]) -> Box:
    from bus_monai.transforms.image_region import find_image_region

    return find_image_region(pixels)


def _into(target: int, length: int, start: int, stop: int) -> NDArray[np.float32]:
    if (start, stop) == (0, length):
        return resize_matrix(length, target, anti_aliasing=True)
    matrix = np.zeros((target, length), dtype=np.float32)
    matrix[:, start:stop] = resize_matrix(stop - start, target, anti_aliasing=True)
    return matrix


def _back(source: int, length: int, start: int, stop: int) -> NDArray[np.float32]:
    if (start, stop) == (0, length):
        return resize_matrix(source, length, anti_aliasing=False)
    matrix = np.zeros((length, source), dtype=np.float32)
    matrix[start:stop] = resize_matrix(source, stop - start, anti_aliasing=False)
    return matrix


GRAPH = "model.onnx"
CHAIN = "chain.json"


def graph_name(model: TrainedModel) -> str:
    """Return the name of the folder of a model's graph, another one for whatever may change a prediction."""
    return f"graph-{model_key(model)[:16]}"


def find_graph(model: TrainedModel) -> Path:
    """Return the folder with ``model.onnx`` and ``chain.json`` of a model.

    A bundle may ship it as ``models/graph-KEY``; else it lies in the cache, where it is made if need be.

    Raises:
        UserError: the model cannot be exported, or the cache cannot be written to.
    """
    name = graph_name(model)
    folders = (model.bundle / "models" / name, cache_folder() / "graphs" / name)
    for folder in folders:
        if (folder / GRAPH).is_file() and (folder / CHAIN).is_file():
            return folder
    return _make(model, folders[-1])


def _make(model: TrainedModel, folder: Path) -> Path:

    with writing(folder, option="BUS_MONAI_CACHE"):
        try:
            with whole_folder(folder, last=CHAIN) as partial:
                export_graph(model, partial)
        except OSError:
            if not (folder / CHAIN).is_file():  # else another process was faster
                raise
    return folder


OPSET = 17
NEUTRAL = {"speckle": "none", "equalization": "none", "inferer_mode": "resize"}
"""Settings with which the chain is resizing alone."""
STEPS = {"SpeckleReductiond", "HistogramEqualizationd", "CropImageRegiond", "Resized"}


class WholeGraph(nn.Module):
    """Resize, segment and resize back, with inputs and output as in :meth:`Chain.inputs`.

    Args:
        network: from (1, 1, h, w) to logits of that shape.
        size: (h, w).
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, image: Tensor, rows: Tensor, columns: Tensor, rows_back: Tensor, columns_back: Tensor) -> Tensor:
        """Return the probabilities (H, W)."""
        # a fixed shape: runtimes optimise the network for it, whatever the size of the image
        seen = (rows @ image @ columns).reshape(1, 1, *self.size)
        probability: Tensor = self.network(seen).sigmoid().reshape(self.size)
        return rows_back @ probability @ columns_back


def export_graph(model: TrainedModel, folder: Path) -> None:
    """Write ``model.onnx`` and ``chain.json`` into a folder.

    Inputs and outputs of the graph are those of :meth:`~bus_monai.inference.backends.graph.Chain.inputs`.

    Raises:
        UserError: the model's chain has more than resizing, or its weights are wrong.
    """
    parts = bundle_parts(model)
    if what := obstacle(parts):
        raise UserError(f"The model '{model.name}' has {what}, which no exported graph computes: use --backend torch.")
    chain = chain_of(parts)
    write_onnx(parts.network, chain, folder / GRAPH)
    chain.write(folder / CHAIN)


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
            output_names=["probability"],
            dynamic_axes=axes | {"columns_back": width, "probability": height | width},
            opset_version=OPSET,
            dynamo=False,
            # the weights as they are: runtimes fold constants, and normalisation into kernels, themselves
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
    """Return what surrounds the network, where there is no :func:`obstacle`."""
    return Chain(parts.size, "CropImageRegiond" in _steps(parts))


def obstacle(parts: BundleParts) -> str | None:
    """Return what of a model's chain no graph computes: a setting, a transform or the inferer; ``None`` for nothing."""
    for key, neutral in NEUTRAL.items():
        value = parts.settings.get(key, neutral)
        if value != neutral:
            return f"{key}={value}"
    unknown = [step for step in _steps(parts) if step not in STEPS]
    if unknown or not isinstance(parts.inferer, SlidingWindowInferer):
        return unknown[0] if unknown else type(parts.inferer).__name__
    return None


def _steps(parts: BundleParts) -> list[str]:
    return [type(step).__name__ for step in parts.before.flatten().transforms]
