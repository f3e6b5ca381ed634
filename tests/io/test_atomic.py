"""A folder is there complete or not at all."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from bus_monai.data.datalist import DATALIST_FILE
from bus_monai.io.atomic import atomic_file, whole_folder, write_table
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
