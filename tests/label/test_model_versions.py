from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import find_bundle
from bus_monai.label.model_versions import ModelVersions
from tests.user_errors import raises_user_error


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
    versions.activate(1)
    versions.activate(2)
    assert versions.model().settings == {"lr": 0.3}
    assert versions.model().files == [versions.folder / "0002" / "model.pt"]
    assert [versions.roll_back(), versions.roll_back()] == [1, 0]
    assert [report["version"] for report in versions.info()["versions"]] == [1, 2]


def test_a_version_that_there_is_not(versions: ModelVersions) -> None:
    with raises_user_error("'net'", 3, 0, key="version"):
        versions.activate(3)


def test_what_a_killed_training_left_is_no_version(versions: ModelVersions) -> None:
    with versions.training() as folder:
        (folder / "model.pt").write_bytes(b"half")
    assert versions.active == 0
    assert versions.info() == {"active": 0, "versions": []}
    with versions.training() as folder:
        assert not list(folder.iterdir())


def test_one_training_at_a_time(versions: ModelVersions) -> None:
    with versions.training(), raises_user_error("'net'"), versions.training():
        pass
