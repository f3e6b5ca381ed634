"""Exported files in eight bits, and the images that their ranges are of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bus_monai.bundle.models import TrainedModel
from bus_monai.data.datalist import Datalist, read_datalist, write_datalist
from bus_monai.inference.export import Format, export_model
from bus_monai.inference.quantize import export_images

INT8 = 0.15
"""Greatest difference of probability, of four channels that have learned nothing and whose logits are steep."""


@pytest.mark.parametrize(("format", "ending"), [("onnx", "onnx"), ("openvino", "xml")])
def test_int8_stays_near(
    model: TrainedModel, format: Format, ending: str, small_phantoms: Path, tmp_path: Path
) -> None:
    if format == "openvino":
        pytest.importorskip("nncf")
    out = tmp_path / f"a.{ending}"
    drift = export_model(model, out, format=format, int8=True, images=small_phantoms)
    assert 1e-5 < drift.largest < INT8
    assert abs(drift.dice_change) < 0.05
    assert json.loads((tmp_path / "a.json").read_text())["int8"] is True
    assert {path.suffix for path in tmp_path.iterdir()} <= {out.suffix, ".bin", ".json"}


def test_int8_holds_integers(model: TrainedModel, small_phantoms: Path, tmp_path: Path) -> None:
    import onnx

    export_model(model, tmp_path / "a.onnx", format="onnx", int8=True, images=small_phantoms / "images")
    graph = onnx.load(tmp_path / "a.onnx").graph
    made = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 3
    assert {made[name] for node in convolutions for name in node.input} == {"DequantizeLinear"}
    resizing = {"rows", "columns", "rows_back", "columns_back"}
    products = [node for node in graph.node if node.op_type == "MatMul" and resizing & set(node.input)]
    assert len(products) == 4
    assert "DequantizeLinear" not in {made.get(name) for node in products for name in node.input}


def test_calibration_and_comparison_share_no_image(model: TrainedModel, small_phantoms: Path, tmp_path: Path) -> None:
    known, unseen = export_images(model, small_phantoms, calibrate=True)
    assert (len(known), len(unseen)) == (18, 3)
    folder = small_phantoms / "images"
    every_second, others = export_images(model, folder, calibrate=True)
    assert (len(every_second), len(others)) == (12, 12)
    shutil.copytree(small_phantoms, tmp_path / "all")
    write_datalist(tmp_path / "all", Datalist(training=read_datalist(tmp_path / "all").training))
    halves = export_images(model, tmp_path / "all", calibrate=True)
    assert [len(half) for half in halves] == [9, 9]
    assert halves[1][0].truth() is not None
    for one, other in ((known, unseen), (every_second, others), halves):
        assert not {image.source for image in one} & {image.source for image in other}
    assert len(export_images(model, folder, calibrate=False)[1]) == 24
    assert others[0].truth() is None
    assert unseen[0].truth().shape == (64, 64)  # type: ignore[union-attr]
