"""The manifest: the state of each item, kept whatever ends the job."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.manifest import Manifest, Outcome, forget_outputs
from bus_monai.inference.segment_file import SegmentSettings
from tests.inference.segment_files import PNG, draw
from tests.user_errors import raises_user_error

SETTINGS = SegmentSettings(PNG)


def test_a_killed_run_knows_its_own_files(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    draw(tmp_path / "a.png", (4, 4, 12, 20))
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            segment_inputs([tmp_path], tmp_path, bright, SETTINGS)
    assert (tmp_path / "a_mask.png").exists()
    assert segment_inputs([tmp_path], tmp_path, bright, SETTINGS)["done"] == 1


def test_a_database_of_another_is_left_alone(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a.png", (4, 4, 12, 20))
    (tmp_path / "out").mkdir()
    base = sqlite3.connect(tmp_path / "out" / "manifest.sqlite")
    base.execute("CREATE TABLE mine (a)")
    base.close()
    with raises_user_error(path=tmp_path / "out" / "manifest.sqlite", key="--out"):
        segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SETTINGS)


def test_what_became_of_an_item_is_known_when_it_is_opened_again(tmp_path: Path) -> None:
    outcome = Outcome("done", "", "ab", ("a_mask.png",), ({"number": 1, "area": 2.5},))
    manifest = Manifest(tmp_path)
    entry = manifest.enter("/in/a.png", ["a", "a_png"])
    assert (entry.name, entry.outcome) == ("a", Outcome("new"))
    # no name that differs in its case alone
    assert manifest.enter("/in/A.dcm", ["A", "A_dcm"]).name == "A_dcm"
    manifest.finish(entry, outcome)
    manifest.close()
    again = Manifest(tmp_path)
    assert {one.path: one.outcome for one in again.entries()} == {"/in/A.dcm": Outcome("new"), "/in/a.png": outcome}
    again.close()

    for name in ("a_mask.png", "mine.png"):
        (tmp_path / name).touch()
    forget_outputs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


def test_nothing_is_written_to_a_manifest_that_was_removed(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    entry = manifest.enter("a", ["a"])
    manifest.path.unlink()
    with raises_user_error(path=manifest.path, key="--out"):
        manifest.finish(entry, Outcome("done"))
    manifest.close()
