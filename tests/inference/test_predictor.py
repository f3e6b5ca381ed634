"""Predictions of every backend against PyTorch in float32 and the bundle's own inference."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from numpy.typing import NDArray
from PIL import Image

from bus_monai.bundle.registry import find_bundle
from bus_monai.geometry.box import Box, Region
from bus_monai.inference.backends.backend import Prediction
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.predictor import BackendName, Predictor
from tests.user_errors import check_sentence, raises_user_error

SIZES = ((32, 32), (1, 1), (20, 90), (75, 33), (240, 320))
FP32 = 1e-5
"""Greatest difference of probability between backends in float32."""
BF16 = 0.02


def image(shape: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings; a bundle's logging.conf takes the handlers of pytest away."""
    texts: list[str] = []
    warn = "bus_monai.inference.predictor.logger.warning"
    monkeypatch.setattr(warn, lambda text, *values: texts.append(text % values))
    return texts


@pytest.mark.parametrize("backend", ["openvino", "onnx"])
def test_backends_agree_at_any_size(reference: Predictor, small_weights: Path, backend: BackendName) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))
    predictor = Predictor.from_bundle("baseline", small_weights, backend, precision="fp32")
    for shape in SIZES:
        expected = reference.predict(image(shape))
        assert expected.shape == shape
        assert expected.dtype == np.float32
        np.testing.assert_allclose(predictor.predict(image(shape)), expected, atol=FP32)


def test_a_bundle_in_another_folder_has_its_own_weights(
    reference: Predictor, small_weights: Path, tmp_path: Path
) -> None:
    shutil.copytree(find_bundle("baseline") / "configs", tmp_path / "configs")
    shutil.copytree(small_weights.parent, tmp_path / "models")
    predictor = Predictor.from_bundle(tmp_path, backend="torch", precision="fp32", trust=True)
    np.testing.assert_array_equal(predictor.predict(image(SIZES[0])), reference.predict(image(SIZES[0])))


def test_another_process_predicts_the_same(small_weights: Path) -> None:
    predictor = Predictor.from_bundle("baseline", small_weights, "onnx", precision="fp32", tta=True)
    loaded = pickle.loads(pickle.dumps(predictor))
    assert (loaded.model, loaded.backend, loaded.precision, loaded.tta) == (predictor.model, "onnx", "fp32", True)
    np.testing.assert_array_equal(loaded.predict(image((40, 56))), predictor.predict(image((40, 56))))


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_fast_stays_near(reference: Predictor, small_weights: Path, backend: BackendName) -> None:
    if backend != "torch":
        pytest.importorskip(backend)
    predictor = Predictor.from_bundle("baseline", small_weights, backend)
    np.testing.assert_allclose(predictor.predict(image((75, 33))), reference.predict(image((75, 33))), atol=BF16)


def test_torch_is_the_inference_of_the_bundle(small_weights: Path, tmp_path: Path, said: list[str]) -> None:
    """Also with the rest of the chain: speckle reduction and equalization."""
    (tmp_path / "in").mkdir()
    gray = (image((48, 60)) * 255).astype(np.uint8)
    Image.fromarray(gray).save(tmp_path / "in" / "a.png")
    settings = json.loads((small_weights.parent / "settings.json").read_text())
    settings |= {"speckle": "lee", "equalization": "clahe"}
    weights = Path(shutil.copy(small_weights, tmp_path))
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    create_workflow(
        config_file=str(find_bundle("baseline") / "configs" / "inference.json"), run_id="inferring",
        dataset_dir=str(tmp_path / "in"), output_dir=str(tmp_path), ckpt_path=str(weights), **settings,
    ).run()  # fmt: skip
    predictor = Predictor.from_bundle("baseline", weights, precision="fp32")
    assert predictor.backend == "torch"  # no graph holds these filters
    assert said == [
        f"Segmenting with PyTorch, which is slower than OpenVINO: The model '{predictor.model.name}' has speckle=lee, "
        "which no exported graph computes: use --backend torch."
    ]
    mask = predictor.predict(gray.astype(np.float32) / 255) >= 0.5
    np.testing.assert_array_equal(mask, np.asarray(Image.open(tmp_path / "a_mask.png")) > 0)
    with raises_user_error("speckle=lee", "--backend torch"):
        Predictor.from_bundle("baseline", weights, "onnx")


def test_without_openvino_torch_is_taken_and_said(
    small_weights: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr("bus_monai.errors.find_spec", lambda name: None)
    assert Predictor.from_bundle("baseline", small_weights).backend == "torch"
    assert said == [
        "Segmenting with PyTorch, which is slower than OpenVINO: The package 'openvino' is not installed: run "
        "\"pip install 'bus-monai[openvino]'\"."
    ]


def test_where_openvino_refuses_the_graph_torch_is_taken_and_said(
    small_weights: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    openvino = pytest.importorskip("openvino")

    def refuse(*_: object) -> None:
        raise RuntimeError("Exception from core.cpp:132:\ncould not create a primitive descriptor\n")

    monkeypatch.setattr(openvino.Core, "compile_model", refuse)
    monkeypatch.setattr(openvino.Core, "import_model", refuse)
    assert Predictor.from_bundle("baseline", small_weights).backend == "torch"
    (warning,) = said
    check_sentence(warning, "PyTorch", "OpenVINO", "could not create a primitive descriptor")


def test_mirroring_and_ensembles(reference: Predictor, small_weights: Path, tmp_path: Path) -> None:
    pixels = image((40, 50))
    both = Predictor.from_bundle("baseline", small_weights, "torch", precision="fp32", tta=True).predict(pixels)
    mirrored = reference.predict(np.ascontiguousarray(pixels[:, ::-1]))[:, ::-1]
    np.testing.assert_allclose(both, (reference.predict(pixels) + mirrored) / 2, atol=1e-6)

    state = torch.load(small_weights, weights_only=True)
    torch.save({k: v * 1.5 for k, v in state.items()}, tmp_path / "model.pt")
    shutil.copy(small_weights.parent / "settings.json", tmp_path)
    other = tmp_path / "model.pt"
    one = Predictor.from_bundle("baseline", other, "onnx", precision="fp32")
    two = Predictor.from_bundle("baseline", f"{small_weights},{other}", "onnx", precision="fp32")
    assert len({one.weights_hash, two.weights_hash, reference.weights_hash}) == 3
    # at the network's own size nothing is resized after averaging
    pixels = image((32, 32))
    mean = (reference.predict(pixels) + one.predict(pixels)) / 2
    np.testing.assert_allclose(two.predict(pixels), mean, atol=FP32)


def test_a_region_is_segmented_alone() -> None:
    pixels = image((60, 100))
    fan = Region(Box(10, 60, 50, 62), ((10, 50), (20, 30)))
    seen: list[np.ndarray] = []

    def run(part: np.ndarray) -> Prediction:
        seen.append(part)
        return Prediction(np.ones_like(part), float(len(seen)))

    found = Chain((32, 32), crop_region=True).segment(pixels, (Region(Box(10, 20, 50, 40)), fan), run)
    np.testing.assert_array_equal(seen[0], pixels[10:50, 20:40])
    np.testing.assert_array_equal(seen[1][:, 0], pixels[10:50, 60])
    np.testing.assert_array_equal(np.flatnonzero(seen[1][:, 1]), np.arange(10, 20))
    expected = np.zeros((60, 100))
    expected[10:50, 20:40] = expected[10:50, 60] = expected[20:30, 61] = 1
    np.testing.assert_array_equal(found.probability, expected)
    # that of the image that is nearest to known ones
    assert found.distance == 1
    np.testing.assert_array_equal(Chain((32, 32)).segment(pixels, (fan,), run).probability, np.ones_like(pixels))


def test_with_a_cached_graph_neither_torch_nor_monai_is_imported(reference: Predictor, small_weights: Path) -> None:
    pytest.importorskip("openvino")
    Predictor.from_bundle("baseline", small_weights)  # fills the cache
    code = (
        "import sys, numpy as np\n"
        "from bus_monai.inference.predictor import Predictor\n"
        f"p = Predictor.from_bundle('baseline', {str(small_weights)!r})\n"
        "print(p.backend, p.predict(np.zeros((40, 50), np.float32)).shape, {'torch', 'monai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "openvino (40, 50) set()\n"


def test_what_is_wrong_is_said(small_weights: Path, tmp_path: Path) -> None:
    with raises_user_error("tvm", "auto", "openvino", "onnx", "torch", key="backend"):
        Predictor.from_bundle("baseline", small_weights, "tvm")  # type: ignore[arg-type]
    with raises_user_error("mammo_cgan"):
        Predictor.from_bundle("mammo_cgan", small_weights)
    with raises_user_error("configs/metadata.json", path=tmp_path):
        Predictor.from_bundle(tmp_path)
    with raises_user_error(path=find_bundle("rdau_gan") / "models" / "model.pt"):
        Predictor.from_bundle(find_bundle("rdau_gan"))
    with pytest.raises(ValueError, match=r"^pixels must have the shape \(H, W\), got \(1, 4, 4\)\.$"):
        Predictor.from_bundle("baseline", small_weights, "onnx").predict(np.zeros((1, 4, 4), np.float32))
