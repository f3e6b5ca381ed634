"""Lower bounds of dependencies exclude the versions with published holes that touch us."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from bus_monai.label.environment import CONSTRAINTS, LABEL_PACKAGES

ROOT = Path(__file__).parents[2]
FLOORS = {"requests": "2.32.4", "ray": "2.55", "onnx": "1.21", "pillow": "12.3", "jinja2": "3.1.6", "monai": "1.6.1"}
LABEL_FLOORS = {"pyjwt": "2.13", "python-multipart": "0.0.32"}


def requirements(text: str) -> dict[str, Requirement]:
    """Return what a file of Python or TOML asks for by the quoted requirements in it."""
    found = re.findall(r'"([A-Za-z0-9_.\[\],-]+[<>=][^"]*)"', text)
    return {one.name.lower(): one for one in map(Requirement, found)}


def lines(path: Path) -> list[str]:
    """Return the lines of a file of constraints without comments."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


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
    checked = set()
    for pin in map(Requirement, lines(ROOT / "constraints.txt")):
        (exact,) = pin.specifier
        if (known := asked.get(pin.name.lower())) is not None:
            checked.add(pin.name.lower())
            assert known.specifier.contains(exact.version), pin
    assert FLOORS.keys() <= checked


def test_the_environment_of_labeling_is_pinned_in_what_is_asked_for() -> None:
    pinned = {pin.name.lower(): pin for pin in map(Requirement, lines(CONSTRAINTS))}
    for asked in map(Requirement, LABEL_PACKAGES):
        (exact,) = pinned.get(asked.name.lower(), asked).specifier
        assert (exact.operator, asked.specifier.contains(exact.version)) == ("==", True), asked
    assert pinned.keys() < {Requirement(text).name.lower() for text in LABEL_PACKAGES}
    for pin in map(Requirement, lines(ROOT / "constraints.txt")):
        other = pinned.get(pin.name.lower(), pin)
        # setuptools of the tests is of no Python that the environment has one for
        assert other.specifier == pin.specifier or pin.name == "setuptools", pin


@pytest.mark.parametrize("package", [*FLOORS, *LABEL_FLOORS])
def test_the_list_of_advisories_has_each_with_its_date(package: str) -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert re.search(r"As of \d{4}-\d{2}-\d{2}\.", text)
    version = {**FLOORS, **LABEL_FLOORS}[package]
    assert re.search(rf"^\| {re.escape(package)} \| {re.escape(version)}", text, re.MULTILINE)
