"""What the system and the installation say becomes one sentence; what the package does wrong does not."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from bus_monai.errors import EXTRAS, REMEDIES, UserError, as_user_error
from tests.conftest import ROOT


def test_a_full_disk_names_no_file_where_the_system_names_none() -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    sentence = "A file cannot be read or written (No space left on device): free space, or give another path."
    assert str(as_user_error(error)) == sentence


def test_of_a_copy_it_names_what_is_written() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "read.png", None, "written.png")
    assert str(as_user_error(error)) == (
        "'written.png' cannot be read or written (No space left on device): free space, or give another path."
    )


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as raised:
        (tmp_path / "file" / "new").write_text("")
    assert str(as_user_error(raised.value)) == (
        f"'{tmp_path / 'file' / 'new'}' cannot be read or written (Not a directory): a part of its path is a file, so "
        "give another path."
    )


def test_a_database_and_its_cause() -> None:
    error = RuntimeError("of a wrapper")
    error.__cause__ = sqlite3.OperationalError("database or disk is full")
    assert str(as_user_error(error)) == (
        "A database cannot be read or written (database or disk is full): free space, or give another folder."
    )


def test_the_user_error_comes_first() -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    error.__cause__ = UserError("That.")
    assert str(as_user_error(error)) == "That."


def test_a_module_of_an_extra() -> None:
    error = ModuleNotFoundError("No module named 'optuna.pruners'", name="optuna.pruners")
    assert str(as_user_error(error)) == (
        "The package 'optuna' is not installed: run \"pip install 'bus-monai[search]'\"."
    )


def test_every_extra_is_one_of_the_package() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert [extra for extra in set(EXTRAS.values()) if f"\n{extra} = [" not in project] == []


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file"),
        KeyError("x"),
        ModuleNotFoundError("no", name="bus"),
        sqlite3.OperationalError("no such table: runs"),
    ],
)
def test_the_rest_is_our_mistake(error: Exception) -> None:
    assert as_user_error(error) is None
    assert errno.ENOENT not in REMEDIES
