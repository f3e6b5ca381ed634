"""A folder is there complete or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_monai.data.datalist import FILE
from bus_monai.data.whole_folder import whole_folder


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "set"
    with whole_folder(folder, last=FILE) as partial:
        (partial / "a").write_text("1")
        assert not folder.exists()
    assert [path.name for path in folder.parent.rglob("*")] == ["set", "a"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with whole_folder(tmp_path / "set", last=FILE) as partial:
            (partial / "a").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_winner_of_two_stays(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "set", last=FILE) as slow:
        with whole_folder(tmp_path / "set", last=FILE) as fast:
            (fast / "datalist.json").write_text("fast")
        (slow / "datalist.json").write_text("slow")
    assert (tmp_path / "set" / "datalist.json").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_is_no_data_set_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("1")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "set", last=FILE) as partial:
        (partial / "a").write_text("1")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["mine"]
