"""An exported graph as ONNX Runtime runs it. Imports neither torch nor MONAI."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.backends.find_graph import CHAIN, GRAPH


class OnnxBackend:
    """Run the graph in a folder that :func:`~bus_monai.inference.backends.find_graph.find_graph` found, in float32.

    Args:
        folder: with the graph.
    """

    name = "onnx"

    def __init__(self, folder: Path) -> None:
        self.chain = Chain.read(folder / CHAIN)
        options = onnxruntime.SessionOptions()
        # the variable that OpenMP programs obey, which ONNX Runtime does not
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
        self._session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Segment an image, see :class:`~bus_monai.inference.backends.backend.Backend`."""
        return np.asarray(self._session.run(None, self.chain.inputs(pixels))[0])
