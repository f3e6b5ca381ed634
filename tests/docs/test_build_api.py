"""Which warnings fail ``make docs``; that itself runs it over everything."""

from __future__ import annotations

import runpy
from importlib import import_module
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
        ("Error parsing type annotation ArrayOrTensor for bus_monai.metrics.auc. Import of Any failed: no", False),
        ("Error parsing type annotation _t.AuthType for requests.sessions.Session.auth. Import of _t failed", False),
    ],
)
def test_what_can_be_fixed_here_fails(build: dict, warning: str, expected: bool) -> None:
    assert build["is_ours"](warning) is expected


def test_packages_show_their_public_names_and_their_modules(build: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    from pdoc.doc import Module

    package = import_module("bus_monai.geometry")
    monkeypatch.setattr(package, "__all__", package.__all__)
    build["load_public_names"](package.__name__)
    shown = Module(package)
    assert {"Box", "Lesion", "find_findings"} <= set(shown.members)
    assert [module.name for module in shown.submodules] == ["box", "lesion"]
