"""Which image next, and how a model does on those that are labeled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bus_monai.data.readers.own_images import list_labels
from tests.data.label_folder import save_labels, write_pictures


@pytest.fixture(scope="module")
def strategies(label_module: Callable[[str], ModuleType]) -> ModuleType:
    return label_module("strategies")


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
