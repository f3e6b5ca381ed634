"""The predictors of the tests of several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.inference.executors.spread import Looking, Spread


@pytest.fixture
def spread(tmp_path: Path) -> Any:
    return Spread(tmp_path / "weights")


@pytest.fixture
def looking(tmp_path: Path) -> Any:
    return Looking(tmp_path / "weights")
