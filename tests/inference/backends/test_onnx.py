"""ONNX Runtime on a graph whose result is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference.backends.tiny_graph import CHAIN, check_at_any_size

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
tiny (float[h, w] image, float[8, h] rows, float[w, 6] columns, float[h, 8] rows_back, float[6, w] columns_back)
    => (float[h, w] probability)
    <float four = {4.0}, float two = {2.0}>
{
    fewer_rows = MatMul (rows, image)
    seen = MatMul (fewer_rows, columns)
    enlarged = Mul (seen, four)
    logits = Sub (enlarged, two)
    found = Sigmoid (logits)
    more_rows = MatMul (rows_back, found)
    probability = MatMul (more_rows, columns_back)
}
"""
"""Of :func:`tiny_network`."""


def test_a_graph_gives_what_its_network_means_at_any_size(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx.parser import parse_model

    from bus_monai.inference.backends.onnx import OnnxBackend

    onnx.save(parse_model(GRAPH), tmp_path / "model.onnx")
    check_at_any_size(OnnxBackend(tmp_path / "model.onnx", CHAIN))
