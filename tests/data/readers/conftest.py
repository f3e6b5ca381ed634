"""A small copy of each published data set."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.published_layouts import LAYOUTS


@pytest.fixture
def layouts(tmp_path: Path) -> dict[str, Callable[[], Path]]:
    """Functions that write a small copy of a data set and return its folder, by name."""
    return {write.__name__: partial(write, tmp_path / write.__name__) for write in LAYOUTS}
