"""An exported graph as OpenVINO runs it. Imports neither torch nor MONAI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from bus_monai.errors import UserError
from bus_monai.geometry.box import Region
from bus_monai.inference.backends.backend import Precision, Prediction, wanted_threads
from bus_monai.inference.backends.chain import Chain

FLOAT32_HINT = {"INFERENCE_PRECISION_HINT": "f32"}
PAD_MULTIPLE_PX = 128
"""Images are padded to a multiple of so many pixels: for each new size OpenVINO makes code anew, which takes 3 ms."""


class OpenVinoBackend:
    """Run a graph of :func:`~bus_monai.inference.backends.export_graph.write_onnx`, or OpenVINO's form of it.

    Threads may call it at once; the network itself takes one image after the other, on all cores.

    Args:
        graph: the ONNX file, or the ``.xml`` that lies beside its ``.bin``.
        chain: what surrounds its network.
        precision: ``fp32``, or ``fast``, which is what OpenVINO takes for the processor where it
            can run that.
        threads: of the network; 0 for what ``OMP_NUM_THREADS`` says, or all cores.

    Raises:
        UserError: OpenVINO refuses the graph, or finds no code for it on this processor.
    """

    name = "openvino"

    def __init__(self, graph: Path, chain: Chain, precision: Precision = "fast", threads: int = 0) -> None:
        self.chain = chain
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        settings["INFERENCE_NUM_THREADS"] = threads or wanted_threads()
        settings["ENABLE_CPU_PINNING"] = False  # else the networks of all processes take the first core
        if precision == "fp32":
            settings |= FLOAT32_HINT
        try:
            self._model = _compile(graph, settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].partition(". ")[0]
            raise UserError(f"OpenVINO cannot run '{graph}' here ({reason}): use --backend torch.") from error
        # requests of several threads at once have been seen to wait for each other for ever
        self._turn = Lock()

    def __call__(self, pixels: NDArray[np.float32], regions: Sequence[Region] | None = None) -> Prediction:
        """Segment a screen, see :class:`~bus_monai.inference.backends.backend.Backend`."""
        return self.chain.segment(pixels, regions, self._run)

    def _run(self, image: NDArray[np.float32]) -> Prediction:
        height, width = image.shape
        inputs = _padded(self.chain.inputs(image), -height % PAD_MULTIPLE_PX, -width % PAD_MULTIPLE_PX)
        with self._turn:
            probability, *distance = self._model(inputs).values()
            # a copy: the result lies in memory of the one request, which the next image overwrites
            found = np.array(probability[:height, :width], dtype=np.float32)
            return Prediction(found, *(float(value[0]) for value in distance))


def _padded(inputs: Mapping[str, NDArray[np.float32]], rows: int, columns: int) -> dict[str, NDArray[np.float32]]:
    """Return the inputs of a graph for an image with so many more rows and columns, which weigh nothing."""
    more = {"image": (rows, columns), "rows": (0, rows), "columns": (columns, 0)}
    more |= {"rows_back": (rows, 0), "columns_back": (0, columns)}
    return {**inputs, **{name: _larger(inputs[name], *sides) for name, sides in more.items()}}


def _larger(matrix: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    # several times as fast as np.pad
    height, width = matrix.shape
    padded = np.zeros((height + rows, width + columns), np.float32)
    padded[:height, :width] = matrix
    return padded


def _compile(graph: Path, settings: dict[str, Any]) -> Any:
    core = openvino.Core()
    try:
        return core.compile_model(graph, "CPU", settings)
    except RuntimeError:
        # it takes bfloat16 where the processor has it, also where ONEDNN_MAX_CPU_ISA keeps its kernels from using it
        return core.compile_model(graph, "CPU", settings | FLOAT32_HINT)
