"""Exported files against PyTorch in float32."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from PIL import Image

from bus_monai.bundle.models import TrainedModel, parse_models
from bus_monai.bundle.registry import list_bundles, output_format
from bus_monai.inference.backends.backend import Prediction
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.export import Drift, Format, export_model, measure_drift, open_exported
from bus_monai.inference.predictor import Predictor
from tests.bundles.test_every_bundle import quick
from tests.user_errors import raises_user_error

ENDINGS = {"onnx": "onnx", "openvino": "xml", "torchscript": "ts"}
FP32 = 1e-5
"""Greatest difference of probability in float32."""
SEGMENTERS = [info.name for info in list_bundles() if output_format(info.root) == "segmentation"]


@pytest.mark.parametrize(("format", "ending"), ENDINGS.items())
def test_a_file_gives_what_the_predictor_gives(
    model: TrainedModel, format: Format, ending: str, small_phantoms: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"a.{ending}"
    drift = export_model(model, out, format=format, images=small_phantoms)
    assert drift.images == 3
    assert 0 < drift.largest < FP32
    assert drift.dice_change == pytest.approx(0, abs=1e-3)

    record = json.loads((tmp_path / "a.json").read_text())
    predictor = Predictor(model, backend="torch", precision="fp32")
    assert record == {
        "size": [32, 32], "crop_region": False, "before": [], "bundle": "baseline", "version": predictor.version,
        "weights_sha256": predictor.weights_hash, "format": format, "int8": False,
        "drift": {"images": 3, "largest": drift.largest, "dice_change": drift.dice_change},
    }  # fmt: skip
    beside = {"a.bin"} if format == "openvino" else set()
    assert {path.name for path in tmp_path.iterdir()} == {out.name, "a.json"} | beside
    exported = open_exported(out, format, Chain.read(tmp_path / "a.json"))
    pixels = np.random.default_rng(0).random((75, 40), dtype=np.float32)
    np.testing.assert_allclose(exported(pixels).probability, predictor.predict(pixels), atol=FP32)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ("lite_unet", "mammo_cgan") else pytest.mark.slow) for name in SEGMENTERS],
)
def test_every_segmenter_is_exported(name: str, small_phantoms: Path, tmp_path: Path) -> None:
    """With filters and a crop before the network, too; OpenVINO reads the graph that ONNX Runtime runs."""
    config = next(info.root for info in list_bundles() if info.name == name) / "configs" / "inference.json"
    torch.manual_seed(0)
    settings = quick(config)
    parser = create_workflow(config_file=str(config), workflow_type="infer", **settings).parser
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "model.pt")
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (trained,) = parse_models([f"{name}:{tmp_path / 'model.pt'}"])
    drift = export_model(trained, tmp_path / "a.xml", format="openvino", images=small_phantoms)
    assert drift.images == 3
    assert drift.largest < 1e-4
    record = json.loads((tmp_path / "a.json").read_text())
    steps = ["CropToBoxd", "Resized", "SpeckleReductiond", "HistogramEqualizationd"]
    assert record["before"] == (steps if name == "mammo_cgan" else [])
    assert record["crop_region"] is (name == "lite_unet")


def test_real_images_too(model: TrainedModel, shared: Path, tmp_path: Path) -> None:
    drift = export_model(model, tmp_path / "a.ts", format="torchscript", images=shared / "data" / "busi")
    assert drift.images == 46
    assert drift.largest < FP32


def test_drift_of_known_masks() -> None:
    def eager(pixels: np.ndarray) -> Prediction:
        return Prediction(pixels)

    def ours(pixels: np.ndarray) -> Prediction:
        return Prediction(np.float32(0.75) * pixels)

    pixels = np.array([[1.0, 0.6, 0.0, 0.0]], dtype=np.float32)
    truth = np.array([[True, False, False, False]])
    # eager finds two pixels, of which one is lesion: 2/3; ours finds the one: 1
    assert measure_drift(ours, eager, [(pixels, truth)]) == Drift(1, 0.25, pytest.approx(1 / 3))
    # where the lesion is not known eager is right: ours finds one of two
    assert measure_drift(ours, eager, [(pixels, None)]) == Drift(1, 0.25, pytest.approx(-1 / 3))
    # nothing where nothing is
    nothing = (pixels * 0, truth & False)
    assert measure_drift(ours, eager, [nothing, (pixels, truth)]) == Drift(2, 0.25, pytest.approx(1 / 6))
    assert (
        str(Drift(2, 0.25, -1 / 6)) == "largest difference of probability 0.25, mean change of Dice -0.1667, 2 images"
    )


def test_what_is_wrong_is_said(
    model: TrainedModel, small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(
        *named: object,
        out: Path = tmp_path / "a.onnx",
        path: Path | None = None,
        key: str | None = None,
        **words: object,
    ) -> None:
        with raises_user_error(*named, path=path, key=key):
            export_model(model, out, **({"format": "onnx", "images": small_phantoms} | words))  # type: ignore[arg-type]

    fails("tvm", "onnx", "openvino", "torchscript", key="--format", format="tvm")
    fails("onnx", "openvino", "--format", out=tmp_path / "a.ts", key="--int8", format="torchscript", int8=True)
    fails(".onnx", out=tmp_path / "a.ts", path=tmp_path / "a.ts", key="--out")
    one = tmp_path / "one"
    one.mkdir()
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(one / "a.png")
    fails("two", path=one, int8=True, images=one)
    fails(out=one / "a.png" / "a.onnx", path=one / "a.png" / "a.onnx", key="--out")
    monkeypatch.setattr("bus_monai.inference.export.MAX_DRIFT", 0.0)
    fails("onnx", "PyTorch", 0, "--format")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    monkeypatch.setattr("bus_monai.errors.find_spec", lambda name: None if name == "nncf" else True)
    fails("'bus-monai[int8]'", out=tmp_path / "a.xml", key="nncf", format="openvino", int8=True)
    monkeypatch.setattr("bus_monai.errors.find_spec", lambda name: None)
    fails("'bus-monai[export]'", key="onnx")
