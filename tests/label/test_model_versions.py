from __future__ import annotations

import json
import logging
import shutil
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import find_bundle
from bus_monai.errors import UserError
from bus_monai.label.model_versions import (
    MIN_INDEPENDENT,
    ModelVersions,
    compare_scores,
    is_better,
    is_signed,
    sign,
    verdict,
)
from tests.user_errors import check_names, raises_user_error


def _trained(versions: ModelVersions, lr: float) -> int:
    with versions.training() as folder:
        (folder / "model.pt").write_bytes(b"weights")
        (folder / "settings.json").write_text(json.dumps({"lr": lr}))
        return versions.keep(folder, {"dice": 0.5})


@pytest.fixture
def versions(tmp_path: Path) -> ModelVersions:
    start = TrainedModel("net", find_bundle("baseline"), str(tmp_path / "start.pt"), {"lr": 0.1})
    return ModelVersions(tmp_path / "models", start)


def test_the_model_as_it_came_is_version_0(versions: ModelVersions) -> None:
    assert versions.active == 0
    assert versions.model() == versions.start
    with raises_user_error("'net'"):
        versions.roll_back()


def test_versions_are_kept_activated_and_rolled_back(versions: ModelVersions) -> None:
    assert [_trained(versions, 0.2), _trained(versions, 0.3)] == [1, 2]
    assert versions.active == 0
    (versions.folder / "active.json").write_text("[2]")  # as before there were names
    versions.activate(1)
    versions.activate(2, "Ann")
    assert [(one["version"], one.get("by")) for one in versions.info()["activations"]] == [
        (2, None),
        (1, None),
        (2, "Ann"),
    ]
    assert versions.info()["activations"][2]["ts"] > 1_700_000_000
    assert versions.model().settings == {"lr": 0.3}
    assert versions.model().files == [versions.folder / "0002" / "model.pt"]
    assert [versions.roll_back(), versions.roll_back(), versions.roll_back()] == [1, 2, 0]
    assert [report["version"] for report in versions.info()["versions"]] == [1, 2]


def test_a_version_that_there_is_not(versions: ModelVersions) -> None:
    with raises_user_error("'net'", 3, 0, key="version"):
        versions.activate(3)


def test_a_version_of_others_is_none(
    versions: ModelVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither one that came with the folder of images, nor one whose files are not those that were trained."""
    for lr in (0.2, 0.3, 0.4):
        versions.activate(_trained(versions, lr))
    theirs = [versions.folder / name for name in ("0004", "0005")]
    for folder in theirs:
        shutil.copytree(versions.folder / "0001", folder)
    (theirs[1] / "signature").unlink()
    (versions.folder / "active.json").write_text("[1, 4, 5, 2, 3]")
    (versions.folder / "0002" / "model.pt").write_bytes(b"other weights")
    (versions.folder / "0003" / "settings.json").write_text(json.dumps({"lr": 0.5}))
    assert versions.active == 1
    assert versions.model().settings == {"lr": 0.2}
    assert [report["version"] for report in versions.info()["versions"]] == [1]
    for number in (2, 3, 4, 5):
        with raises_user_error(number, 0, 1, key="version"):
            versions.activate(number)
    with caplog.at_level(logging.WARNING, "bus_monai"):
        ModelVersions(versions.folder, versions.start)
    assert [str(versions.folder / f"{number:04d}") in caplog.text for number in (1, 2, 3, 4, 5)] == [
        False,
        True,
        True,
        True,
        True,
    ]
    with versions.training() as folder:  # takes nothing away from what others left
        assert folder.name == "0006"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    assert versions.active == 0


def test_a_version_is_of_its_bundle(versions: ModelVersions) -> None:
    versions.activate(_trained(versions, 0.2))
    other = replace(versions.start, bundle=find_bundle("rdau_gan"), settings={})
    assert ModelVersions(versions.folder, other).active == 0


@pytest.mark.parametrize("text", ["{", "[[]]", '["1", 1.5, null, {}, 9]', '{"1": 2}', "[" * 100_000])
def test_whatever_says_which_is_active_none_is_but_ours(versions: ModelVersions, text: str) -> None:
    versions.folder.mkdir()
    for name in ("active.json", "progress.json"):
        (versions.folder / name).write_text(text)
    (versions.folder / "0001").mkdir()
    (versions.folder / "0001" / "report.json").write_text(text)
    try:
        assert versions.active == 0
    except UserError as error:
        check_names(error, path=versions.folder / "active.json")
    with suppress(UserError):
        versions.progress()


def test_the_key_is_its_owners_alone(versions: ModelVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    versions.activate(_trained(versions, 0.2))
    key = tmp_path / "bus_monai" / "label.key"
    assert [path.name for path in key.parent.iterdir()] == ["label.key"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert sign(b"a") != sign(b"b")
    assert is_signed(b"a", sign(b"a"))
    assert not is_signed(b"b", sign(b"a"))
    assert not is_signed(b"a", "ä")
    key.chmod(0o644)
    with raises_user_error(path=key):
        ModelVersions(versions.folder, versions.start)


def test_what_a_killed_training_left_is_no_version(versions: ModelVersions) -> None:
    with versions.training() as folder:
        (folder / "model.pt").write_bytes(b"half")
    assert versions.active == 0
    assert versions.info() == {"active": 0, "versions": [], "activations": []}
    with versions.training() as folder:
        assert not list(folder.iterdir())


def test_while_a_model_is_trained_nobody_else_changes_it(versions: ModelVersions) -> None:
    number = _trained(versions, 0.2)
    other = ModelVersions(versions.folder, versions.start)
    with versions.training():
        with raises_user_error("'net'"), other.training():
            pass
        with raises_user_error("'net'"):
            other.activate(number)
        with raises_user_error("'net'"):
            other.roll_back()
        versions.activate(number)  # by the gate
    assert other.roll_back() == 0


def test_a_version_must_be_better_on_enough_images() -> None:
    def better(gains: list[float], groups: int = 100) -> bool:
        names = [str(number % groups) for number in range(len(gains))]
        comparison = compare_scores([0.5] * len(gains), [0.5 + gain for gain in gains], groups=names)
        assert comparison["independent"] == len(set(names))
        return bool(is_better(comparison))

    assert MIN_INDEPENDENT == 20
    assert better([0.1] * 20)
    assert not better([0.1] * 19)
    # images of 19 patients
    assert not better([0.1] * 40, groups=19)
    assert not better([0.0] * 20)
    assert not better([-0.1] * 20)
    # a mean above 0 may be chance
    assert not better([0.3, -0.28] * 10)
    assert compare_scores([], [], groups=[])["independent"] == 0
    few = compare_scores([0.1], [0.9], groups=["a"])
    assert not is_better(few)
    for fact in ("Version 3 of net", "version 2", "1 independent", 20):
        assert str(fact) in verdict("net", 3, 2, few)
