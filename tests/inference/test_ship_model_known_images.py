"""Models that tell which images they know: fitted, stored, exported, heeded."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bus_monai import segment
from bus_monai.bundle.models import TrainedModel, find_model
from bus_monai.errors import NotAssessedError
from bus_monai.inference.backends.backend import SENSITIVITIES
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.ship_model import KNOWN_GROUPS, fit_known_images
from bus_monai.networks.lite_unet import LiteUNet
from bus_monai.networks.weights import save_shipped
from bus_monai.sources.read import read_source
from tests.user_errors import raises_user_error

SETTINGS = {"image_size": [64, 64], "protocol": "all_train", "seed": 0, "presence_head": True, "crop_region": False}


@pytest.fixture(scope="module")
def model(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    folder = tmp_path_factory.mktemp("known")
    torch.manual_seed(0)
    network = LiteUNet(presence_head=True, deep_supervision=True)
    torch.save(network.state_dict(), folder / "model.pt")
    bundle = find_model("lite_unet").bundle
    others = folder / "others"
    others.mkdir()
    for i in range(6):
        save(others / f"{i}.png", stripes(20 + i))
    plain = TrainedModel("known", bundle, str(folder / "model.pt"), SETTINGS)
    state, settings = fit_known_images(plain, small_phantoms, [others])
    save_shipped(state, folder / "model.safetensors", settings | {"presence_shifts": [-0.5, 0.0, 0.5]})
    return find_model("lite_unet", str(folder / "model.safetensors"))


def stripes(width: int) -> np.ndarray:
    return (np.arange(70 * 90).reshape(70, 90) // width % 256 / 255).astype(np.float32)


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray((255 * pixels).astype(np.uint8)).save(path)


def noise() -> np.ndarray:
    return np.random.default_rng(0).random((70, 90)).astype(np.float32)


def test_the_images_of_the_training_are_known_and_stripes_are_not(model: TrainedModel, small_phantoms: Path) -> None:
    assert model.settings["known_groups"] == KNOWN_GROUPS
    predictor = Predictor(model, backend="torch", precision="fp32")
    images = sorted((small_phantoms / "images").glob("*.png"))[:6]
    assert max(predictor.assess(read_source(image).pixels).distance for image in images) < 1
    assert predictor.assess(stripes(40)).distance > 1


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_a_graph_tells_the_same(model: TrainedModel, sensitivity: str) -> None:
    ours, theirs = (
        Predictor(model, backend=name, precision="fp32", sensitivity=sensitivity)  # type: ignore[arg-type]
        for name in ("openvino", "torch")
    )
    found, expected = ours.assess(noise()), theirs.assess(noise())
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-4)
    assert found.distance == pytest.approx(expected.distance, rel=1e-3)


def test_higher_sensitivity_is_higher_probability(model: TrainedModel) -> None:
    high, balanced, specific = (
        Predictor(model, backend="torch", precision="fp32", sensitivity=point).predict(noise())
        for point in SENSITIVITIES
    )
    assert (high > balanced).all()
    assert (balanced > specific).all()


def test_weights_without_points_have_one(small_phantoms: Path, tmp_path: Path) -> None:
    torch.save(LiteUNet(presence_head=True).state_dict(), tmp_path / "model.pt")
    settings = SETTINGS | {"deep_supervision": False}
    plain = TrainedModel("plain", find_model("lite_unet").bundle, str(tmp_path / "model.pt"), settings)
    assert Predictor(plain, backend="torch").assess(noise()).distance == 0
    with raises_user_error("plain", key="--sensitivity"):
        Predictor(plain, backend="torch", sensitivity="high")


def test_what_is_unlike_is_not_assessed(model: TrainedModel, small_phantoms: Path, tmp_path: Path) -> None:
    predictor = Predictor(model, backend="torch")
    source = tmp_path / "in"
    source.mkdir()
    save(source / "stripes.png", stripes(40))
    save(source / "black.png", np.zeros((70, 90)))
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
