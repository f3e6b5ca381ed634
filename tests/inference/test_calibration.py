"""A model that knows the chance that its findings are lesions tells it, in command, Python and evaluation."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bus_monai import segment
from bus_monai.bundle import registry
from bus_monai.bundle.models import TrainedModel, find_model
from bus_monai.bundle.registry import SHIPPED_FILE, find_bundle
from bus_monai.geometry.lesion import find_findings
from bus_monai.inference.backends.backend import Sensitivity
from bus_monai.inference.predictor import BackendName, Predictor
from bus_monai.inference.segment_frames import FindInFrame, segment_frames
from bus_monai.inference.ship_model import ship_model
from bus_monai.io.opened import open_source
from bus_monai.metrics.case_table import CaseRow, write_case_table
from bus_monai.metrics.findings import CALIBRATION_KEY, Calibration, Finding
from bus_monai.metrics.segmentation import score_case
from bus_monai.networks.lite_unet import LiteUNet
from tests.user_errors import raises_user_error

SPREAD = (2.5, -2.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A model that has learned nothing."""
    weights = tmp_path_factory.mktemp("model") / "model.pt"
    torch.save(LiteUNet(presence_head=True, deep_supervision=True).state_dict(), weights)
    return TrainedModel("some", find_bundle("lite_unet"), str(weights), {"image_size": [64, 64], "crop_region": False})


def test_command_and_python_tell_the_chance(model: TrainedModel, small_phantoms: Path) -> None:
    image = max((small_phantoms / "images").glob("*.png"))
    told, plain = (
        Predictor(replace(model, settings=model.settings | {CALIBRATION_KEY: value}), backend="torch", precision="fp32")
        for value in (list(SPREAD), None)
    )
    # what is found by a threshold of 0 is the whole image
    means = [segment(image, plain, threshold=0, any_body_part=True).lesions[0].probability]
    chances = [segment(image, told, threshold=0, any_body_part=True).lesions[0].probability]
    with open_source(image) as source:
        (frame,) = segment_frames(FindInFrame(told, 0, any_body_part=True), source).lesions
    assert means[0] is not None
    assert chances == pytest.approx([Calibration(*SPREAD)(means[0])])
    assert frame[0].probability == pytest.approx(chances[0])


def test_findings_without_a_calibration_keep_their_mean() -> None:
    probability = np.zeros((40, 40), np.float32)
    probability[10:30, 10:30] = 0.75
    (plain,) = find_findings(probability, 0.5).lesions
    (told,) = find_findings(probability, 0.5, chance=Calibration(*SPREAD)).lesions
    assert plain.probability == 0.75
    assert told == replace(plain, probability=Calibration(*SPREAD)(0.75))


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights of a copy of ``lite_unet`` that is the only bundle there is, and of which no graph is made."""
    source = find_bundle("lite_unet")
    folder = tmp_path / "bundles" / "lite_unet"
    shutil.copytree(source, folder)
    monkeypatch.setattr(registry, "BUNDLE_FOLDERS", (tmp_path / "bundles",))
    monkeypatch.setattr("bus_monai.inference.ship_model.export_graph", lambda model, graph: None)
    monkeypatch.setattr("bus_monai.inference.ship_model.halve_graph", lambda path: None)
    return folder / "models" / SHIPPED_FILE


def test_shipping_learns_the_chance_from_tables(weights: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    findings = tuple(
        Finding(mean, int(random.random() < Calibration(*SPREAD)(mean))) for mean in random.uniform(0.5, 0.98, 4000)
    )
    row = CaseRow.of(score_case(np.zeros((1, 3)), np.zeros((1, 3))), id="a", group="a", diagnosis="normal")
    table, before = tmp_path / "cases.csv", find_model("lite_unet").settings
    parts = [findings[start : start + 100] for start in range(0, len(findings), 100)]
    write_case_table(table, [replace(row, id=str(i), findings=part) for i, part in enumerate(parts)])
    ship_model(f"lite_unet:{weights}", tables=[table])
    shipped = find_model("lite_unet")
    assert shipped.settings[CALIBRATION_KEY] == pytest.approx(SPREAD, abs=0.3)
    assert shipped.settings == before | {CALIBRATION_KEY: shipped.settings[CALIBRATION_KEY]}

    write_case_table(table, [replace(row, findings=(Finding(0.9, 1),))])
    with raises_user_error(path=table):
        ship_model(f"lite_unet:{weights}", tables=[table])


@pytest.mark.parametrize("sensitivity", ["high", "specific"])
def test_a_graph_of_a_network_that_knows_no_images_has_the_sensitivity(
    model: TrainedModel, sensitivity: Sensitivity
) -> None:
    shifted = replace(model, settings=model.settings | {"presence_shifts": [-0.5, 0.0, 0.5]})
    pixels = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    points: tuple[tuple[BackendName, Sensitivity], ...] = (
        ("openvino", sensitivity),
        ("torch", sensitivity),
        ("torch", "balanced"),
    )
    found, expected, balanced = (
        Predictor(shifted, backend=backend, precision="fp32", sensitivity=point).predict(pixels)
        for backend, point in points
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - balanced).max() > 0.01
