"""An exported graph as OpenVINO runs it. Imports neither torch nor MONAI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from bus_monai.inference.backends.backend import Precision
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.backends.find_graph import CHAIN, GRAPH


class OpenVinoBackend:
    """Run the graph in a folder that :func:`~bus_monai.inference.backends.find_graph.find_graph` found.

    Args:
        folder: with the graph.
        precision: ``fp32``, or ``fast``, which is what OpenVINO takes for the processor.
    """

    name = "openvino"

    def __init__(self, folder: Path, precision: Precision = "fast") -> None:
        self.chain = Chain.read(folder / CHAIN)
        settings = {"PERFORMANCE_HINT": "LATENCY"}
        if precision == "fp32":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._model = openvino.Core().compile_model(folder / GRAPH, "CPU", settings)

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Segment an image, see :class:`~bus_monai.inference.backends.backend.Backend`."""
        # a copy: the result lies in memory of the one request, which the next image overwrites
        return np.array(self._model(self.chain.inputs(pixels))[0], dtype=np.float32)
