"""What the site must hold, which Sphinx does not check; ``make docs`` builds it, and fails on a warning."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from bus_monai.data.protocols import PROTOCOLS
from bus_monai.metrics.aggregate import RULES
from tests.conftest import ROOT

DOCS = ROOT / "docs"
# commands, and what runs in the environment of MONAI Label: their interface is no Python
PACKAGES = sorted({path.parent.name for path in (ROOT / "bus_monai").glob("*/__init__.pyi")} - {"cli", "label"})


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_in_the_reference(package: str) -> None:
    text = (DOCS / "reference" / f"{package}.md").read_text(encoding="utf-8")
    assert f".. automodule:: bus_monai.{package}\n" in text
    assert f"[`bus_monai.{package}`]({package}.md)" in (DOCS / "reference" / "python.md").read_text(encoding="utf-8")


def test_each_protocol_and_rule_is_explained() -> None:
    text = (DOCS / "protocols.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == {*PROTOCOLS, *RULES}


def test_each_page_has_its_place() -> None:
    places = re.findall(r"^[\w/.*]+$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    pages = [path.stem for path in DOCS.glob("*.md") if path.stem != "index"]
    pages += [f"notebooks/{path.stem}" for path in (DOCS / "notebooks").glob("*.ipynb")]
    assert [page for page in pages if page not in places] == []


def test_each_picture_is_shown_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *DOCS.rglob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [path.name for path in (DOCS / "images").iterdir() if path.name not in text] == []


@pytest.mark.parametrize(("code", "language"), [("from bus_monai import x", "python"), ("bus-monai info", "shell")])
def test_indented_code_is_python_or_shell(code: str, language: str) -> None:
    pytest.importorskip("sphinx", reason="pip install 'bus-monai[docs]'")
    from docutils import frontend, nodes, utils

    highlight = runpy.run_path(str(Path(DOCS, "conf.py")))["highlight"]
    page = utils.new_document("page", frontend.get_default_settings())
    page += nodes.literal_block(code, code)
    highlight(None, page)
    (block,) = page.findall(nodes.literal_block)
    assert block["language"] == language
