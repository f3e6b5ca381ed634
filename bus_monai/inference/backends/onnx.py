"""An exported graph as ONNX Runtime runs it. Imports neither torch nor MONAI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bus_monai.geometry.box import Region
from bus_monai.inference.backends.backend import Prediction, wanted_threads
from bus_monai.inference.backends.chain import Chain


class OnnxBackend:
    """Run a graph of :func:`~bus_monai.inference.backends.export_graph.write_onnx` in float32, or as it is quantized.

    Args:
        graph: the ONNX file.
        chain: what surrounds its network.
    """

    name = "onnx"

    def __init__(self, graph: Path, chain: Chain) -> None:
        self.chain = chain
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = wanted_threads()
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def __call__(self, pixels: NDArray[np.float32], regions: Sequence[Region] | None = None) -> Prediction:
        """Segment a screen, see :class:`~bus_monai.inference.backends.backend.Backend`."""
        return self.chain.segment(pixels, regions, self._run)

    def _run(self, image: NDArray[np.float32]) -> Prediction:
        probability, *distance = self._session.run(None, self.chain.inputs(image))
        return Prediction(np.asarray(probability), *(float(value[0]) for value in distance))
