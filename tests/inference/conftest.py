"""What the tests of inference share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.inference.bright_predictor import BrightPredictor


@pytest.fixture
def bright(tmp_path: Path) -> Any:
    return BrightPredictor(tmp_path / "weights")
