"""Every example of Python on README, docs and cards goes through the public doors; README's and the reference's run."""

from __future__ import annotations

import re
import shutil
import textwrap
from importlib import import_module
from pathlib import Path

import pytest

from bus_monai.data.demo_files import write_demo_files
from tests.conftest import ROOT
from tests.test_documented_commands import PAGES

_EXAMPLE = re.compile(r"(?<=\n\n)(?: {4}(?:from|import) .*\n(?:(?: {4}.*)?\n)*)")
EXAMPLES = [
    (page.relative_to(ROOT).as_posix(), textwrap.dedent(text).rstrip())
    for page in PAGES
    for text in _EXAMPLE.findall(page.read_text())
]


def test_pages_have_examples() -> None:
    assert {"README.md", "docs/export.md", "docs/researcher.md"} <= {page for page, _ in EXAMPLES}


@pytest.mark.parametrize(("page", "text"), EXAMPLES, ids=[f"{page}-{i}" for i, (page, _) in enumerate(EXAMPLES)])
def test_an_example_imports_public_names(page: str, text: str) -> None:
    compile(text, page, "exec")
    exec("\n".join(line for line in text.splitlines() if re.match(r"(from|import) ", line)), {})
    for package in re.findall(r"^from (bus_monai\S*) import", text, re.MULTILINE):
        assert hasattr(import_module(package), "__path__"), f"{package} is no public door"


@pytest.mark.parametrize("text", [text for page, text in EXAMPLES if page in ("README.md", "docs/reference/python.md")])
def test_an_example_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(write_demo_files(tmp_path / "demo")[0], tmp_path / "breast.dcm")
    monkeypatch.chdir(tmp_path)
    exec(text, {})
