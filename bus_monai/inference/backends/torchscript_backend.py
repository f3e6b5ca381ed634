"""An exported graph as TorchScript runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bus_monai.inference.backends.chain import Chain


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

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Segment an image, see :class:`~bus_monai.inference.backends.backend.Backend`."""
        # a copy: cached matrices are read-only, which tensors cannot be
        inputs = [torch.from_numpy(value.copy()) for value in self.chain.inputs(pixels).values()]
        with torch.inference_mode():
            return np.asarray(self._module(*inputs))
