from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bus_monai.bundle.registry import list_bundles
from bus_monai.errors import UserError
from bus_monai.label.environment import (
    CONSTRAINTS,
    LABEL_PACKAGES,
    READY_MARK,
    check_login,
    check_studies,
    label_environment,
    offered_models,
    warn_if_open,
)
from tests.conftest import ROOT
from tests.user_errors import check_names, raises_user_error


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


NOT_NEEDED = {"einops", "expiringdict", "ninja", "numpymaxflow", "sam2", "shapely"}
"""What MONAI Label asks for and its server, as it is run here, does not import."""


def asked_by(package: Distribution, extras: Iterable[str] = ("",)) -> Iterator[Requirement]:
    for asked in map(Requirement, package.requires or ()):
        if asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in extras):
            yield asked


def test_all_that_it_asks_for_is_in_it_or_comes_with_this_package(made_environment: Path) -> None:
    """The tests have packages of their own, which an image has not."""
    project = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["pacs"])]
    ours: dict[str, set[str]] = {}
    while waiting:
        asked = waiting.pop()
        known = ours.setdefault(canonicalize_name(asked.name), set())
        new = {"", *asked.extras} - known
        if new and (asked.marker is None or asked.marker.evaluate()):
            known |= new
            waiting += [Requirement(f"{one.name}{extras_of(one)}") for one in asked_by(distribution(asked.name), new)]
    (packages,) = made_environment.parent.parent.glob("lib/python*/site-packages")
    held = list(distributions(path=[str(packages)]))
    listed = {canonicalize_name(Requirement(text).name) for text in LABEL_PACKAGES}
    there = listed | {name for name, extras in ours.items() if extras}
    wanted = {canonicalize_name(asked.name) for one in held for asked in asked_by(one)}
    assert wanted - there == NOT_NEEDED


def extras_of(asked: Requirement) -> str:
    return f"[{','.join(asked.extras)}]" if asked.extras else ""


def test_segmenters_with_weights_are_offered(monkeypatch: pytest.MonkeyPatch, small_weights: Path) -> None:
    infos = [replace(info, weights=small_weights) for info in list_bundles() if info.name != "lite_unet"]
    monkeypatch.setattr("bus_monai.label.environment.list_bundles", lambda: infos)
    monkeypatch.setattr("bus_monai.label.environment.parse_models", lambda specs, segmenters, trust: [])
    assert offered_models("") == ["assgan", "baseline", "cgan_ac_caw", "multi_encoder_unet", "rdau_gan"]
    assert offered_models(f"baseline:{small_weights}, ") == [f"baseline:{small_weights}"]
    monkeypatch.setattr("bus_monai.label.environment.list_bundles", list)
    with raises_user_error("BUNDLE:WEIGHTS", key="--bundles"):
        offered_models("")


def test_a_model_of_mammograms_is_refused(small_weights: Path) -> None:
    with raises_user_error("mammo_cgan"):
        offered_models(f"mammo_cgan:{small_weights}")


def test_studies_that_are_no_folder(tmp_path: Path) -> None:
    assert check_studies("http://host/dicom-web/") == "http://host/dicom-web"
    assert check_studies(str(tmp_path)) == str(tmp_path)
    with raises_user_error("DICOMweb", path="nowhere", key="--studies"):
        check_studies("nowhere")


@pytest.mark.parametrize(("host", "warnings"), [("127.0.0.1", 0), ("::1", 0), ("localhost", 0), ("0.0.0.0", 1)])
def test_an_open_server_warns(host: str, warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bus_monai"):
        warn_if_open(host)
    assert len(caplog.records) == warnings


def test_a_login_that_lets_nobody_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONAI_LABEL_AUTH_ENABLE", "False")
    check_login()
    monkeypatch.setenv("MONAI_LABEL_AUTH_ENABLE", "true")
    with raises_user_error("unset", key="MONAI_LABEL_AUTH_ENABLE"):
        check_login()
