"""Weights and graphs that come with a bundle: small, found first, the same model; and which images it knows."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from bus_monai import segment
from bus_monai.bundle import registry
from bus_monai.bundle.models import TrainedModel, find_model, parse_models
from bus_monai.bundle.registry import SHIPPED_FILE, TRAINED_FILE, find_bundle, list_bundles
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.errors import NotAssessedError
from bus_monai.inference.backends.backend import SENSITIVITIES
from bus_monai.inference.backends.chain import INT8_FILE
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.predictor import Predictor, graph_name
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.ship_model import KNOWN_GROUPS, fit_known_images, ship_model
from bus_monai.metrics.segmentation import mask_dice
from bus_monai.networks.lite_unet import LiteUNet
from bus_monai.networks.weights import read_weights, save_shipped
from bus_monai.sources.read import read_source
from tests.user_errors import check_sentence, raises_user_error


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``baseline`` that is the only bundle there is."""
    source = find_bundle("baseline")
    folder = tmp_path / "bundles" / "baseline"
    shutil.copytree(source / "configs", folder / "configs")
    monkeypatch.setattr(registry, "BUNDLE_FOLDERS", (tmp_path / "bundles",))
    return folder


def test_weights_and_graph_are_the_default(bundle: Path, small_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list_bundles()[0].weights is None
    weights, graph = ship_model(f"baseline:{small_weights}")
    assert (weights, graph.parent) == (bundle / "models" / SHIPPED_FILE, bundle / "models")
    assert weights.stat().st_mode == (graph / "model.onnx").stat().st_mode
    assert weights.stat().st_size < 0.6 * small_weights.stat().st_size
    assert (graph / "model.onnx").stat().st_size < 0.6 * small_weights.stat().st_size
    onnx.checker.check_model(onnx.load(graph / "model.onnx"), full_check=True)
    assert list_bundles()[0].weights == weights
    (model,) = parse_models(["baseline"], segmenters=True)
    assert (model.weights, model.files) == (None, [weights])
    assert model.settings == json.loads((small_weights.parent / "settings.json").read_text())
    assert graph.name == graph_name(model)

    monkeypatch.setattr("bus_monai.inference.predictor._make", None)  # nothing is exported any more
    pixels = np.random.default_rng(0).random((45, 60), dtype=np.float32)
    expected = Predictor(model, backend="torch", precision="fp32").predict(pixels)
    found = Predictor(model, backend="onnx").predict(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    trained = Predictor.from_bundle("baseline", small_weights, "torch", precision="fp32").predict(pixels)
    np.testing.assert_allclose(found, trained, atol=0.02)
    assert np.abs(found - trained).max() > 0  # rounded weights, or this test compares a model with itself

    shutil.copy(small_weights, bundle / "models" / TRAINED_FILE)
    assert parse_models(["baseline"])[0].files == [bundle / "models" / TRAINED_FILE]


def test_more_weights_are_known_by_name_beside_the_own(bundle: Path, small_weights: Path) -> None:
    weights, _ = ship_model(f"baseline:{small_weights}")
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    (more,) = ship_model(f"baseline:{small_weights}", name="more_data")
    assert more == bundle / "models" / "more_data.safetensors"
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file() and path != more} == before
    assert (list_bundles()[0].weights, list_bundles()[0].more) == (weights, ("more_data",))
    (model,) = parse_models(["baseline:more_data"])
    assert (model.name, model.files) == ("more_data", [more])
    assert model.overrides("evaluate.json")["ckpt_path"] == str(more)
    pixels = np.random.default_rng(0).random((45, 60), dtype=np.float32)
    # the same weights: what is found by name is what the own ones find
    found, own = (
        Predictor.from_bundle("baseline", weights, "torch", precision="fp32") for weights in ("more_data", None)
    )
    np.testing.assert_array_equal(found.predict(pixels), own.predict(pixels))
    # but results tell them apart
    assert (found.name, own.name) == ("baseline:more_data", "baseline")
    with raises_user_error("baseline:more_date", path="more_date"):
        parse_models(["baseline:more_date"])


def test_ranges_of_int8_are_shipped_and_stay_with_the_weights(
    bundle: Path, small_weights: Path, small_phantoms: Path
) -> None:
    _, graph = ship_model(f"baseline:{small_weights}", int8=[small_phantoms])
    known = (graph / INT8_FILE).read_bytes()
    layers = json.loads(known)["ranges"]
    assert len(layers) > 3
    assert all(low <= 0 < high for low, high in layers.values())
    ship_model("baseline")
    assert (graph / INT8_FILE).read_bytes() == known
    (graph / INT8_FILE).write_text('{"ranges": {"a": [1]}}')
    with raises_user_error(path=graph / INT8_FILE):
        Predictor.from_bundle("baseline", backend="openvino-int8")
    (graph / INT8_FILE).unlink()
    with raises_user_error("baseline", "--backend openvino"):
        Predictor.from_bundle("baseline", backend="openvino-int8")


def test_int8_is_taken_where_it_is_faster_and_finds_the_same_lesion(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.asarray(make_phantom(7).image / 255, np.float32)
    chosen = {}
    for fast in (False, True):
        monkeypatch.setattr("bus_monai.inference.predictor.multiplies_int8", lambda fast=fast: fast)
        chosen[fast] = Predictor.from_bundle("lite_unet")
    assert [predictor.backend for predictor in chosen.values()] == ["openvino", "openvino-int8"]
    made_anew, _ = chosen[True].__reduce__()
    assert made_anew.keywords["backend"] == "openvino-int8"
    assert Predictor.from_bundle("lite_unet", precision="fp32").backend == "openvino"
    whole, rounded = (predictor.assess(pixels) for predictor in chosen.values())
    assert mask_dice(whole.probability >= 0.5, rounded.probability >= 0.5) > 0.98
    assert np.abs(whole.probability - rounded.probability).max() > 0
    assert abs(whole.distance - rounded.distance) < 0.05


def test_loaded_weights_are_float32(bundle: Path, small_weights: Path) -> None:
    weights, _ = ship_model(f"baseline:{small_weights}")
    before, after = read_weights(small_weights), read_weights(weights)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        expected = value.half().float() if value.is_floating_point() and value.ndim > 1 else value
        assert torch.equal(after[name], expected), name
    weights.write_bytes(weights.read_bytes()[:-10])
    with raises_user_error(path=weights):
        read_weights(weights)


def test_what_cannot_be_shipped(bundle: Path, small_weights: Path, tmp_path: Path) -> None:
    with raises_user_error(f"baseline:{small_weights},{small_weights}"):
        ship_model(f"baseline:{small_weights},{small_weights}")
    state = read_weights(small_weights)
    name = next(name for name, value in state.items() if value.ndim > 1)
    state[name][0] = 1e6
    torch.save(state, tmp_path / "model.pt")
    with raises_user_error(name):
        ship_model(f"baseline:{tmp_path / 'model.pt'}")
    assert not (bundle / "models" / SHIPPED_FILE).exists()


def test_as_a_command_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ship_model", "nothing:x.pt"])
    # so that it is run anew
    monkeypatch.delitem(sys.modules, "bus_monai.inference.ship_model")
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("bus_monai.inference.ship_model", run_name="__main__")
    # a text as the code is printed, and the process ends with 1
    check_sentence(stop.value.code, "'nothing'", "baseline", key="bundle")


@pytest.mark.parametrize("info", list_bundles(), ids=lambda info: info.name)
def test_a_shipped_graph_is_that_of_the_shipped_weights(info: registry.BundleInfo) -> None:
    """Else a change of a config, of the version or of the weights would make every first run export it anew."""
    weights = info.root / "models" / SHIPPED_FILE
    for graph in (info.root / "models").glob("graph-*"):
        (model,) = parse_models([f"{info.name}:{weights}"])
        assert graph.name == graph_name(model), f"run python -m bus_monai.inference.ship_model {info.name}:{weights}"


def test_weights_beside_the_own_segment_and_state_their_license() -> None:
    infos = [info for info in list_bundles() if info.more]
    assert [(info.name, info.more) for info in infos] == [("lite_unet", ("with_bus_uclm",))]
    assert "CC BY-NC 4.0" in (infos[0].root / "models" / "with_bus_uclm.LICENSE.txt").read_text()
    phantom = make_phantom(7)
    found = segment(phantom.image, Predictor.from_bundle("lite_unet", "with_bus_uclm", "torch"))
    assert mask_dice(found.mask, np.logical_or.reduce(phantom.masks)) > 0.8


KNOWING = {"image_size": [64, 64], "protocol": "all_train", "seed": 0, "presence_head": True, "crop_region": False}


@pytest.fixture(scope="module")
def knowing(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    folder = tmp_path_factory.mktemp("known")
    torch.manual_seed(0)
    network = LiteUNet(presence_head=True, deep_supervision=True)
    torch.save(network.state_dict(), folder / "model.pt")
    bundle = find_model("lite_unet").bundle
    others = folder / "others"
    others.mkdir()
    for i in range(6):
        save_image(others / f"{i}.png", stripes(20 + i))
    plain = TrainedModel("known", bundle, str(folder / "model.pt"), KNOWING)
    state, settings = fit_known_images(plain, small_phantoms, [others])
    save_shipped(state, folder / "model.safetensors", settings | {"presence_shifts": [-0.5, 0.0, 0.5]})
    return find_model("lite_unet", str(folder / "model.safetensors"))


def stripes(width: int) -> np.ndarray:
    return (np.arange(70 * 90).reshape(70, 90) // width % 256 / 255).astype(np.float32)


def save_image(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray((255 * pixels).astype(np.uint8)).save(path)


def noise() -> np.ndarray:
    return np.random.default_rng(0).random((70, 90)).astype(np.float32)


def test_the_images_of_the_training_are_known_and_stripes_are_not(knowing: TrainedModel, small_phantoms: Path) -> None:
    assert knowing.settings["known_groups"] == KNOWN_GROUPS
    predictor = Predictor(knowing, backend="torch", precision="fp32")
    images = sorted((small_phantoms / "images").glob("*.png"))[:6]
    assert max(predictor.assess(read_source(image).pixels).distance for image in images) < 1
    assert predictor.assess(stripes(40)).distance > 1


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_a_graph_tells_the_same(knowing: TrainedModel, sensitivity: str) -> None:
    ours, theirs = (
        Predictor(knowing, backend=name, precision="fp32", sensitivity=sensitivity)  # type: ignore[arg-type]
        for name in ("openvino", "torch")
    )
    found, expected = ours.assess(noise()), theirs.assess(noise())
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-4)
    assert found.distance == pytest.approx(expected.distance, rel=1e-3)


def test_higher_sensitivity_is_higher_probability(knowing: TrainedModel) -> None:
    high, balanced, specific = (
        Predictor(knowing, backend="torch", precision="fp32", sensitivity=point).predict(noise())
        for point in SENSITIVITIES
    )
    assert (high > balanced).all()
    assert (balanced > specific).all()


def test_weights_without_points_have_one(small_phantoms: Path, tmp_path: Path) -> None:
    torch.save(LiteUNet(presence_head=True).state_dict(), tmp_path / "model.pt")
    settings = KNOWING | {"deep_supervision": False}
    plain = TrainedModel("plain", find_model("lite_unet").bundle, str(tmp_path / "model.pt"), settings)
    assert Predictor(plain, backend="torch").assess(noise()).distance == 0
    with raises_user_error("plain", key="--sensitivity"):
        Predictor(plain, backend="torch", sensitivity="high")


def test_what_is_unlike_is_not_assessed(knowing: TrainedModel, small_phantoms: Path, tmp_path: Path) -> None:
    predictor = Predictor(knowing, backend="torch")
    source = tmp_path / "in"
    source.mkdir()
    save_image(source / "stripes.png", stripes(40))
    save_image(source / "black.png", np.zeros((70, 90)))
    phantom = min((small_phantoms / "images").glob("*.png"))
    (source / "phantom.png").write_bytes(phantom.read_bytes())
    totals = segment_inputs([source], tmp_path / "out", predictor, SegmentSettings(("png", "overlay")))
    assert (totals["done"], totals["failed"], totals["not assessed"]) == (1, 0, 2)
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        states = {Path(row["file"]).stem: row["state"] for row in csv.DictReader(file)}
    assert states == {"stripes": "not assessed", "black": "not assessed", "phantom": "done"}
    assert not list((tmp_path / "out").glob("stripes*"))
    again = segment_inputs([source], tmp_path / "out", predictor, SegmentSettings(("png", "overlay")))
    assert again == totals
    with pytest.raises(NotAssessedError) as caught:
        segment(stripes(40), predictor)
    assert caught.value.key == "any_body_part"
    assert segment(stripes(40), predictor, any_body_part=True).probability.shape == (70, 90)
    with pytest.raises(NotAssessedError):
        segment(np.zeros((100, 100), np.uint8), predictor, any_body_part=True)
