"""What the system and the installation say becomes one sentence; what the package does wrong does not."""

from __future__ import annotations

import errno
import os
import pickle
import sqlite3
from pathlib import Path

import pytest

from bus_monai.errors import (
    EXTRAS,
    REMEDIES,
    UserError,
    as_user_error,
    check_choice,
    check_columns,
    check_number,
    reading,
    writing,
)
from tests.conftest import ROOT
from tests.user_errors import check_names, raises_user_error


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


@pytest.mark.parametrize(
    ("code", "space", "permissions", "option"),
    [
        (errno.ENOSPC, True, False, True),
        (errno.EDQUOT, True, False, True),
        (errno.EROFS, False, False, True),
        (errno.EACCES, False, True, True),
        (errno.ENAMETOOLONG, False, False, False),
        (errno.ENOENT, False, True, True),
    ],
)
def test_the_remedy_fits_what_the_system_says(code: int, space: bool, permissions: bool, option: bool) -> None:
    with pytest.raises(UserError) as caught, writing("a/b.csv", option="--out", kept="the rest is whole"):
        raise OSError(code, os.strerror(code))
    check_names(caught.value, os.strerror(code), "the rest is whole", path="a/b.csv", key="--out")
    sentence = str(caught.value)
    assert ("space" in sentence.partition("): ")[2], "permissions" in sentence, "change --out" in sentence) == (
        space, permissions, option,
    )  # fmt: skip
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_of_a_class_of_its_own() -> None:
    class StopError(UserError):
        pass

    with pytest.raises(StopError), writing("a", raises=StopError):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(KeyError), writing("a"):
        raise KeyError("no fault of the system")


@pytest.mark.parametrize(
    ("raised", "named"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file"), ["No such file", "permissions"]),
        (OSError("image file is truncated\nat byte 3"), ["image file is truncated", "try"]),
        (ValueError("no number"), ["no number", "try"]),
        (ValueError(), ["ValueError", "try"]),
    ],
)
def test_what_the_system_refuses_is_not_what_is_broken(raised: Exception, named: list[str]) -> None:
    expected = raises_user_error("JSON", *named, path="a.json")
    with expected, reading("a.json", "JSON", errors=(ValueError,), remedy="try another"):
        raise raised


def test_reading_leaves_other_errors_alone() -> None:
    with pytest.raises(UserError, match=r"^mine$"), reading("a", errors=(ValueError,)):
        raise UserError("mine")
    with pytest.raises(KeyError), reading("a", errors=(ValueError,)):
        raise KeyError("a mistake of ours")


def test_what_is_no_choice() -> None:
    check_choice("mode", "a", ["a", "b"])
    with raises_user_error("'Bus-Bra'", "'bus_bra'", "bus_uclm", key="data set"):
        check_choice("data set", "Bus-Bra", ["bus_uclm", "bus_bra"])
    with raises_user_error("[1]", 1, 2, key="model_id"):
        check_choice("model_id", [1], {1: "one", 2: "two"})
    with raises_user_error("'x'", "the bundle a", "none", key="--preset"):
        check_choice("--preset", "x", [], where="the bundle a")


@pytest.mark.parametrize("value", [0, 1, True, 1.5, float("nan"), float("inf"), "3", None])
def test_what_is_no_number_of_a_range(value: object) -> None:
    with raises_user_error(repr(value), 2, 7, "null", key="depth"):
        check_number("depth", value, at_least=2, below=7, whole=True, hint="or null")


def test_the_ends_of_a_range() -> None:
    for share in (0.1, 1):
        check_number("share", share, above=0, at_most=1)
    for share in (0, -0.1, 1.01, float("nan"), "half", True):
        with raises_user_error(repr(share), 0, 1, key="share"):
            check_number("share", share, above=0, at_most=1)
    with raises_user_error("inf", 0, key="rate"):
        check_number("rate", float("inf"), at_least=0)
    check_number("count", 10**400, at_least=0)


def test_a_missing_column() -> None:
    check_columns("t.csv", ("a",), ["b", "a"], remedy="")
    for found in (["a"], None):
        with raises_user_error("again", path="t.csv", key="b"):
            check_columns("t.csv", ("b",), found, remedy="download it again")


def test_path_and_key_come_through_processes() -> None:
    error = pickle.loads(pickle.dumps(UserError("'a' lacks b.", path="a", key="b")))
    assert (str(error), error.path, error.key) == ("'a' lacks b.", Path("a"), "b")


@pytest.mark.parametrize("facts", [{"path": "b"}, {"key": "mode"}, {"path": "a", "key": "mod"}])
def test_a_test_of_another_file_or_key_fails(facts: dict[str, str]) -> None:
    error = UserError("'a' lacks modes.", path="a", key="modes")
    check_names(error, "lacks", path="a", key="modes")
    with pytest.raises(AssertionError):
        check_names(error, **facts)
    with pytest.raises(AssertionError):
        check_names(UserError("'a' lacks modes."), **facts)
    with pytest.raises(AssertionError):
        check_names(error, "lack")
