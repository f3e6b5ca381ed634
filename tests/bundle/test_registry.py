"""Bundles of the package and of others, and the files of their weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bus_monai.bundle.registry import (
    DEFAULT_MODEL,
    SHIPPED_FILE,
    TRAINED_FILE,
    find_bundle,
    installed_version,
    list_bundles,
    named_weights,
    require_ultrasound,
    weights_file,
)
from tests.user_errors import raises_user_error


def test_a_bundle_is_found_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = find_bundle(DEFAULT_MODEL)
    monkeypatch.chdir(root.parent)
    assert find_bundle(f"./{DEFAULT_MODEL}") == root
    names = [info.name for info in list_bundles()]
    assert names == sorted(names)
    with raises_user_error("'lite_une'", f"'{DEFAULT_MODEL}'", key="bundle"):
        find_bundle("lite_une")
    with raises_user_error("configs/metadata.json", path=tmp_path):
        find_bundle(tmp_path, trust=True)


def test_configs_of_another_folder_run_where_it_is_trusted_alone(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    shutil.copy(find_bundle(DEFAULT_MODEL) / "configs" / "metadata.json", tmp_path / "configs")
    with raises_user_error(path=tmp_path, key="--trust"):
        find_bundle(tmp_path)
    assert find_bundle(tmp_path, trust=True) == tmp_path


def test_weights_that_were_trained_come_before_those_that_ship(tmp_path: Path) -> None:
    trained, shipped = tmp_path / "models" / TRAINED_FILE, tmp_path / "models" / SHIPPED_FILE
    assert weights_file(trained) == trained
    shipped.parent.mkdir()
    shipped.touch()
    assert weights_file(trained) == shipped
    assert weights_file(trained.with_name("other.pt")).name == "other.pt"
    trained.touch()
    assert weights_file(trained) == trained
    shipped.with_name("small.safetensors").touch()
    assert set(named_weights(tmp_path)) == {"model", "small"}


def test_a_mammogram_s_bundle_takes_no_ultrasound() -> None:
    require_ultrasound(find_bundle(DEFAULT_MODEL))
    with raises_user_error("'mammo_cgan'"):
        require_ultrasound(find_bundle("mammo_cgan"))
    assert installed_version("nothing-of-that-name") is None
