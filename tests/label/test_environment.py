from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bus_monai.errors import UserError
from bus_monai.label.environment import CONSTRAINTS, LABEL_PACKAGES, READY_MARK, label_environment
from tests.user_errors import check_names


def test_without_a_package_index_there_is_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError) as caught:
        label_environment()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    check_names(caught.value, "monailabel==0.8.5", "pip", path=folder)
    assert not (folder / READY_MARK).exists()


def test_it_holds_the_versions_that_are_pinned(made_environment: Path) -> None:
    (packages,) = made_environment.parent.parent.glob("lib/python*/site-packages")
    held = {canonicalize_name(one.name): one.version for one in distributions(path=[str(packages)])}
    lines = [line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pinned = {}
    for pin in map(Requirement, [*lines, *(one for one in LABEL_PACKAGES if "==" in one.partition(";")[0])]):
        if pin.marker is None or pin.marker.evaluate():
            (exact,) = pin.specifier
            pinned[canonicalize_name(pin.name)] = exact.version
    assert {"monailabel", "pyjwt", "python-multipart"} <= held.keys()
    assert {name: held[name] for name in held.keys() & pinned.keys()} == {
        name: pinned[name] for name in held.keys() & pinned.keys()
    }
    # those of the tool that makes it are not ours
    assert held.keys() - pinned.keys() <= {"pip", "setuptools"}
