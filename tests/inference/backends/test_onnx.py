"""ONNX Runtime on a graph whose result is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bus_monai.inference.backends.export_graph import write_onnx
from tests.inference.backends.tiny_graph import CHAIN, tiny_network, tiny_probability


def test_a_graph_gives_what_its_network_means_at_any_size(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from bus_monai.inference.backends.onnx import OnnxBackend

    write_onnx(tiny_network(), CHAIN, tmp_path / "model.onnx")
    backend = OnnxBackend(tmp_path / "model.onnx", CHAIN)
    for shape in ((8, 6), (1, 1), (33, 20)):
        pixels = np.random.default_rng(0).random(shape, np.float32)
        found = backend(pixels)
        np.testing.assert_allclose(found.probability, tiny_probability(pixels), atol=1e-5)
        assert found.distance == 0
