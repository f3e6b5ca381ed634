"""Lower bounds of dependencies exclude the versions with published holes that touch us."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FLOORS = {"requests": "2.32.4", "ray": "2.55", "onnx": "1.21", "pillow": "12.3", "jinja2": "3.1.6", "monai": "1.6.1"}
LABEL_FLOORS = {"pyjwt": "2.13", "python-multipart": "0.0.32"}


def requirements(text: str) -> dict[str, Requirement]:
    """Return what a file of Python or TOML asks for by the quoted requirements in it."""
    found = re.findall(r'"([A-Za-z0-9_.\[\],-]+[<>=][^"]*)"', text)
    return {one.name.lower(): one for one in map(Requirement, found)}


def below(version: str) -> list[str]:
    """Return versions just below one."""
    *rest, last = Version(version).release
    return [".".join(map(str, (*rest, last - 1))), ".".join(map(str, (*rest, last - 1, 99)))]


@pytest.mark.parametrize("package", FLOORS)
def test_a_floor_excludes_the_holes(package: str) -> None:
    asked = requirements((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[package].specifier
    assert asked.contains(FLOORS[package])
    assert not any(asked.contains(version) for version in below(FLOORS[package]))


@pytest.mark.parametrize("package", LABEL_FLOORS)
def test_a_floor_of_the_environment_of_labeling_excludes_the_holes(package: str) -> None:
    path = ROOT / "bus_monai" / "label" / "environment.py"
    asked = requirements(path.read_text(encoding="utf-8"))[package].specifier
    assert asked.contains(LABEL_FLOORS[package])
    assert not any(asked.contains(version) for version in below(LABEL_FLOORS[package]))


def test_the_pinned_versions_are_among_those_asked_for() -> None:
    asked = requirements((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    checked = set()
    for pin in pinned:
        (exact,) = pin.specifier
        if (known := asked.get(pin.name.lower())) is not None:
            checked.add(pin.name.lower())
            assert known.specifier.contains(exact.version), pin
    assert FLOORS.keys() <= checked


@pytest.mark.parametrize("package", [*FLOORS, *LABEL_FLOORS])
def test_the_list_of_advisories_has_each_with_its_date(package: str) -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert re.search(r"As of \d{4}-\d{2}-\d{2}\.", text)
    version = {**FLOORS, **LABEL_FLOORS}[package]
    assert re.search(rf"^\| {re.escape(package)} \| {re.escape(version)}", text, re.MULTILINE)
