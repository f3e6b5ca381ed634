"""An exported graph as OpenVINO runs it. Imports neither torch nor MONAI."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from bus_monai.errors import UserError
from bus_monai.inference.backends.backend import Precision
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.backends.threads import wanted_threads

FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}


class OpenVinoBackend:
    """Run a graph of :func:`~bus_monai.inference.backends.export_graph.write_onnx`, or OpenVINO's form of it.

    Threads may call it at once; the network itself takes one image after the other, on all cores.

    Args:
        graph: the ONNX file, or the ``.xml`` that lies beside its ``.bin``.
        chain: what surrounds its network.
        precision: ``fp32``, or ``fast``, which is what OpenVINO takes for the processor where it
            can run that.

    Raises:
        UserError: OpenVINO refuses the graph, or finds no code for it on this processor.
    """

    name = "openvino"

    def __init__(self, graph: Path, chain: Chain, precision: Precision = "fast") -> None:
        self.chain = chain
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        settings["INFERENCE_NUM_THREADS"] = wanted_threads()
        if precision == "fp32":
            settings |= FLOAT32
        try:
            self._model = _compile(graph, settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].partition(". ")[0]
            raise UserError(f"OpenVINO cannot run '{graph}' here ({reason}): use --backend torch.") from error
        # requests of several threads at once have been seen to wait for each other for ever
        self._turn = Lock()

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Segment an image, see :class:`~bus_monai.inference.backends.backend.Backend`."""
        inputs = self.chain.inputs(pixels)
        with self._turn:
            # a copy: the result lies in memory of the one request, which the next image overwrites
            return np.array(self._model(inputs)[0], dtype=np.float32)


def _compile(graph: Path, settings: dict[str, Any]) -> Any:
    core = openvino.Core()
    try:
        return core.compile_model(graph, "CPU", settings)
    except RuntimeError:
        # it takes bfloat16 where the processor has it, also where ONEDNN_MAX_CPU_ISA keeps its kernels from using it
        return core.compile_model(graph, "CPU", settings | FLOAT32)
