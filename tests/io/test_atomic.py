"""A folder is there complete or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from bus_monai.data.datalist import DATALIST_FILE
from bus_monai.io.atomic import _remove_abandoned, atomic_file, remove_partial_files, whole_folder, write_table
from tests.user_errors import raises_user_error


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "set"
    with whole_folder(folder, last=DATALIST_FILE) as partial:
        (partial / "a").write_text("1")
        assert not folder.exists()
    assert [path.name for path in folder.parent.rglob("*")] == ["set", "a"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with whole_folder(tmp_path / "set", last=DATALIST_FILE) as partial:
            (partial / "a").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_winner_of_two_stays(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "set", last=DATALIST_FILE) as slow:
        with whole_folder(tmp_path / "set", last=DATALIST_FILE) as fast:
            (fast / "datalist.json").write_text("fast")
        (slow / "datalist.json").write_text("slow")
    assert (tmp_path / "set" / "datalist.json").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_is_no_data_set_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("1")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "set", last=DATALIST_FILE) as partial:
        (partial / "a").write_text("1")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["mine"]


FULL = "No space left on device"


def fail(path: Path, *names: str | None) -> None:
    """Write half of ``path``, until the system refuses with an error of these names."""
    with atomic_file(path) as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, FULL, *(str(partial) if name == "partial" else name for name in names))


def test_each_writer_of_a_file_has_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "draft.json"
    with atomic_file(path) as first:
        first.write_text("first")
        with atomic_file(path) as second:
            second.write_text("second")
            assert first.read_text() == "first"
        assert path.read_text() == "second"
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"draft.json": "first"}


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "é" * 125 + ".png"])
def test_a_name_may_be_as_long_as_the_system_lets_it(name: str, tmp_path: Path) -> None:
    with atomic_file(tmp_path / name) as partial:
        partial.write_text("a")
        assert partial.suffix == ".png"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    def leave(folder: str, age_s: float) -> None:
        writer = atomic_file(tmp_path / folder / "a.pt")
        left = writer.__enter__()
        left.write_text("half")
        os.utime(left, (time.time() - age_s,) * 2)
        kept.append(writer)

    kept: list[object] = []  # else they end, and remove it themselves
    for folder in ("run", "out"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".part-mine").write_text("mine")
        os.utime(tmp_path / folder / ".part-mine", (0, 0))
    for age_s in (3600, 2 * 86_400):
        leave("run", age_s)
    _remove_abandoned.cache_clear()  # as in another process
    with atomic_file(tmp_path / "run" / "a.pt") as partial:
        partial.write_text("whole")
    assert sorted(path.read_text() for path in (tmp_path / "run").iterdir()) == ["half", "mine", "whole"]
    leave("out", 0)
    remove_partial_files(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [".part-mine", ".part-mine", "a.pt"]


def copy(source: Path, path: Path) -> None:
    with atomic_file(path) as partial:
        shutil.copyfile(source, partial)


@pytest.mark.parametrize("names", [(), ("partial",), ("read.png", None, "partial")])
def test_what_was_there_stays_and_the_error_names_the_file(tmp_path: Path, names: tuple[str | None, ...]) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(OSError, match=FULL) as error:
        fail(path, *names)
    assert str(error.value) == f"[Errno 28] {FULL}: '{path}'"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "before")]


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        copy(tmp_path / "gone.png", tmp_path / "copy.png")
    assert Path(error.value.filename) == tmp_path / "gone.png"
    assert list(tmp_path.iterdir()) == []


def test_a_table_replaces_only_one_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    for rows in ([(1, 2)], [(3, 4)]):
        write_table(path, ("id", "dice"), rows)
    assert path.read_text().splitlines() == ["id,dice", "3,4"]
    path.write_text("my notes\n")
    with raises_user_error(path=path):
        write_table(path, ("id", "dice"), [])
    assert path.read_text() == "my notes\n"
