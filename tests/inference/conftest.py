"""What the tests of inference share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bus_monai.bundle.models import TrainedModel, parse_models
from bus_monai.inference.predictor import Predictor
from tests.inference.bright_predictor import BrightPredictor


@pytest.fixture
def bright(tmp_path: Path) -> Any:
    return BrightPredictor(tmp_path / "weights")


@pytest.fixture(scope="module")
def model(small_weights: Path) -> TrainedModel:
    return parse_models([f"baseline:{small_weights}"])[0]


@pytest.fixture(scope="module")
def reference(small_weights: Path) -> Predictor:
    """PyTorch in float32."""
    return Predictor.from_bundle("baseline", small_weights, "torch", precision="fp32")
