"""What the page's routes take from a file and from an address, without a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

from tests.label.conftest import png_of


@pytest.fixture(scope="module")
def routes(label_module: Callable[[str], ModuleType]) -> ModuleType:
    return label_module("page_routes")


@pytest.mark.parametrize(
    ("told", "milliseconds"), [("40", 40.0), ("33.333", 33.333), ("0", 50.0), ("", 50.0), (None, 50.0)]
)
def test_a_cine_runs_as_its_header_says(
    routes: ModuleType, tmp_path: Path, told: str | None, milliseconds: float
) -> None:
    data: Any = pydicom.dcmread(str(get_testdata_file("US1_UNCR.dcm", download=False)))
    data.FrameTime = told
    data.save_as(tmp_path / "a.dcm")
    assert routes._frame_ms(tmp_path / "a.dcm") == milliseconds


def test_what_is_no_cine_runs_as_usual(routes: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of())
    assert routes._frame_ms(tmp_path / "a.png") == routes.USUAL_FRAME_MS


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("studies", True),
        ("studies/1.2.3/series/4.5/instances/6/frames/1,2", True),
        ("instances", True),
        ("system", False),
        ("studies/../system", False),
        ("studies/./x", False),
        ("studies/...", False),
        ("studies//series", False),
        ("studies/1?x", False),
        ("studies/1/", False),
    ],
)
def test_the_viewer_reaches_resources_of_dicomweb_alone(routes: ModuleType, path: str, is_one: bool) -> None:
    assert bool(routes.RESOURCE.fullmatch(path)) is is_one
