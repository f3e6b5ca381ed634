"""Which warnings fail ``make docs``; that itself runs it over everything."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "docs" / "build_api.py"


@pytest.fixture(scope="module")
def build() -> dict[str, object]:
    pytest.importorskip("pdoc", reason="pip install 'bus-monai[docs]'")
    return runpy.run_path(str(PATH))


@pytest.mark.parametrize(
    ("warning", "expected"),
    [
        ("Couldn't import bus_monai.pacs.spool:\nNameError: name 'x' is not defined", True),
        ("Found 'segment' in bus_monai.__all__, but it does not resolve: Error importing bus_monai.segment", True),
        ("Error parsing type annotation Frame for bus_monai.report.boxes.draw. Import of Frame failed: no", True),
        ("Error parsing type annotation ForwardRef('Frame') for bus_monai.report.boxes.Row.__init__. Import", False),
        ("Error parsing type annotation _t.AuthType for requests.sessions.Session.auth. Import of _t failed", False),
    ],
)
def test_what_can_be_mended_here_fails(build: dict, warning: str, expected: bool) -> None:
    assert build["is_ours"](warning) is expected
