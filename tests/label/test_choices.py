"""Which model, which image next."""

from __future__ import annotations

import importlib
import logging
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bus_monai.bundle.registry import list_bundles
from bus_monai.data.readers.own_images import list_labels
from bus_monai.label.environment import check_login, check_studies, offered_models, warn_if_open
from tests.data.label_folder import save_labels, write_pictures
from tests.user_errors import raises_user_error


@pytest.fixture(scope="module")
def strategies(label_python: Path) -> ModuleType:
    """Imported once MONAI Label can be, on which it builds."""
    importlib.import_module("bus_monai.label.compatibility")
    return importlib.import_module("bus_monai.label.strategies")


def test_a_sample_is_the_same_each_time(strategies: ModuleType) -> None:
    names = [str(n) for n in range(100)]
    assert strategies.sample(names[:3], 50) == ["0", "1", "2"]
    assert strategies.sample(names, 50) == strategies.sample(names[::-1], 50)
    assert len(set(strategies.sample(names, 50))) == 50


def test_what_a_model_made_itself_is_not_scored(strategies: ModuleType, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "labels")
    drawn = {one.name: one.read() for one in list_labels(folder)}
    kept: dict[str, dict[str, Any]] = {}

    def found(pixels: np.ndarray, regions: object) -> np.ndarray:
        mask = np.zeros(pixels.shape)
        mask[20:50, 20:50] = 1
        return mask

    predictor = SimpleNamespace(predict=found, name="net")
    store = SimpleNamespace(folder=folder, get_labeled_images=lambda: list(drawn), update_image_info=kept.__setitem__)
    score = strategies.DiceScoring(SimpleNamespace(predictor=lambda: (predictor, 3)))
    assert score({}, store)["d"] == 1
    assert kept["d"] == {"dice": {"model": "net 3", "dice": 1.0}}
    assert set(kept) == set(drawn)
    save_labels(folder, drawn, {}, origin="accepted")
    assert score({}, store) == {}


def test_segmenters_with_weights_are_offered(monkeypatch: pytest.MonkeyPatch, small_weights: Path) -> None:
    infos = [replace(info, weights=small_weights) for info in list_bundles() if info.name != "lite_unet"]
    monkeypatch.setattr("bus_monai.label.environment.list_bundles", lambda: infos)
    monkeypatch.setattr("bus_monai.label.environment.parse_models", lambda specs, segmenters, trust: [])
    assert offered_models("") == ["assgan", "baseline", "cgan_ac_caw", "multi_encoder_unet", "rdau_gan"]
    assert offered_models(f"baseline:{small_weights}, ") == [f"baseline:{small_weights}"]
    monkeypatch.setattr("bus_monai.label.environment.list_bundles", list)
    with raises_user_error("BUNDLE:WEIGHTS", key="--bundles"):
        offered_models("")


def test_a_model_of_mammograms_is_refused(small_weights: Path) -> None:
    with raises_user_error("mammo_cgan"):
        offered_models(f"mammo_cgan:{small_weights}")


def test_studies_that_are_no_folder(tmp_path: Path) -> None:
    assert check_studies("http://host/dicom-web/") == "http://host/dicom-web"
    assert check_studies(str(tmp_path)) == str(tmp_path)
    with raises_user_error("DICOMweb", path="nowhere", key="--studies"):
        check_studies("nowhere")


@pytest.mark.parametrize(("host", "warnings"), [("127.0.0.1", 0), ("::1", 0), ("localhost", 0), ("0.0.0.0", 1)])
def test_an_open_server_warns(host: str, warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bus_monai"):
        warn_if_open(host)
    assert len(caplog.records) == warnings


def test_a_login_that_lets_nobody_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONAI_LABEL_AUTH_ENABLE", "False")
    check_login()
    monkeypatch.setenv("MONAI_LABEL_AUTH_ENABLE", "true")
    with raises_user_error("unset", key="MONAI_LABEL_AUTH_ENABLE"):
        check_login()
