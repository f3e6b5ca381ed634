"""The error that a user can act on, and the helpers that write its sentences."""

from __future__ import annotations

import difflib
import errno
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any

EXTRAS = {
    "dicomweb_client": "pacs",
    "pynetdicom": "pacs",
    "nncf": "int8",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "optuna": "search",
    "prometheus_client": "pacs",
    "ray": "ray",
    "requests": "pacs",
}
"""The extra that brings each package, by the name that it is imported by."""

REMEDIES = {
    errno.ENOSPC: "free space, or {other}",
    errno.EDQUOT: "free space, or {other}",
    errno.EROFS: "{other}",
    errno.EACCES: "fix its permissions, or {other}",
    errno.EPERM: "fix its permissions, or {other}",
    errno.ENOTDIR: "a part of its path is a file, so {other}",
    errno.EEXIST: "move away what is there, or {other}",
    errno.EISDIR: "give the path of a file",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EIO: "check the disk, or {other}",
}
"""Advice on a file by the system's error code; ``{other}`` says which path or option to change."""

DATABASE_ON_A_BAD_DISK = ("full", "readonly", "unable to open", "disk I/O")
"""Words of SQLite's messages where a disk or a folder is to blame, and not the statement."""


class UserError(ValueError):
    """Input, a config or the machine is not as it must be, and the user can fix it.

    The message is one sentence that says what is wrong, where (file and key), and what to do. The command line
    prints it alone and ends with exit code 2; ``python -m monai.bundle`` prints it as the last line.

    Args:
        message: the sentence.
        path: the file or folder that it speaks of, for programs that do not read sentences.
        key: the config key, argument, column or option of the command line that it speaks of.

    Example:
        >>> error = UserError("'x.png' is truncated: copy the file again.", path="x.png")
        >>> print(error, error.path, error.key, sep="; ")
        'x.png' is truncated: copy the file again.; x.png; None
    """

    def __init__(self, message: object = "", *, path: str | Path | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.path = None if path is None else Path(path)
        self.key = key


class NotAssessedError(UserError):
    """What was given shows something else than a breast, or says so: there is nothing to find in it."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return the nearest of the known words, in brackets to stand behind the wrong one; empty where none is near.

    Example:
        >>> did_you_mean("trainnig", ["training", "test"])
        " (did you mean 'training'?)"
    """
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def check_choice(key: str, value: Any, choices: Iterable[Any], *, where: str = "") -> None:
    """Check that the value of a config key, an argument or an option is one of those that there are.

    Args:
        key: its name.
        value: what was given.
        choices: what may be given.
        where: what has the key, in words, where that is not the config or the command.

    Raises:
        UserError: it is not; the message names the nearest, and all.

    Example:
        >>> check_choice("split", "trainnig", ["training", "test"])
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: split is 'trainnig' (did you mean 'training'?): use one of training, test.
    """
    # a list, since a value of the command line may have no hash
    known = list(choices)
    if value in known:
        return
    names = [str(choice) for choice in known]
    hint = did_you_mean(str(value).lower(), names)
    use = ", ".join(names) or "none, since there is none"
    raise UserError(f"{key}{where and f' of {where}'} is {value!r}{hint}: use one of {use}.", key=key)


def is_number(value: Any) -> bool:
    """Tell whether something is a real number, of Python's or NumPy's, and no bool.

    Example:
        >>> is_number(0.5), is_number(True), is_number("0.5")
        (True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def check_number(
    key: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    whole: bool = False,
    hint: str = "",
) -> None:
    """Check that the value of a config key, an argument or an option is a number of a range.

    Args:
        key: its name.
        value: what was given; what is no finite number is in no range.
        at_least: least number, itself allowed.
        above: least number, itself not allowed.
        at_most: largest number, itself allowed.
        below: largest number, itself not allowed.
        whole: whether it must be an ``int``.
        hint: what else can be done, in words to end the sentence with.

    Raises:
        UserError: it is outside of the range.

    Example:
        >>> check_number("ema_decay", 1, at_least=0, below=1)
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: ema_decay is 1: give a number that is at least 0 and below 1.
    """
    number = type(value) is int if whole else is_number(value)
    if (
        number
        and (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
        and (isinstance(value, int) or math.isfinite(value))
    ):
        return
    ends = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    wanted = " and ".join(f"{words} {end}" for words, end in ends.items() if end is not None)
    kind = "whole number" if whole else "number"
    raise UserError(f"{key} is {value!r}: give a {kind} that is {wanted}{hint and f', {hint}'}.", key=key)


def need_package(name: str) -> None:
    """Check that a package of :data:`EXTRAS` is installed.

    Raises:
        UserError: it is not.
    """
    if find_spec(name) is None:
        raise missing_package(name)


def missing_package(name: str) -> UserError:
    """Return what to say of a package of :data:`EXTRAS` that is not installed."""
    return UserError(
        f"The package '{name}' is not installed: run \"pip install 'bus-monai[{EXTRAS[name]}]'\".", key=name
    )


@contextmanager
def writing(
    path: str | Path, *, option: str = "", kept: str = "", raises: type[UserError] = UserError
) -> Iterator[None]:
    """Turn what the system says of a file or folder that cannot be written into a sentence.

    Args:
        path: what the block writes.
        option: the option, config key or variable of the environment that names it, to be changed.
        kept: what of the work is not lost, in words to end the sentence with.
        raises: the class of the error.

    Raises:
        UserError: the block raised an ``OSError``, which is the cause of this one.

    Example:
        >>> with writing("out/cases.csv", option="--out"):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: Cannot write 'out/cases.csv' (No space left on device): free space, or change --out.
    """
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "check its folder and permissions, or {other}")
        todo = remedy.format(other=f"change {option}" if option else "give another path")
        sentence = f"Cannot write '{path}' ({error.strerror or error}): {todo}{kept and f'; {kept}'}."
        raise raises(sentence, path=path, key=option or None) from error


@contextmanager
def reading(
    path: str | Path,
    kind: str = "",
    *,
    errors: tuple[type[Exception], ...] = (),
    remedy: str = "copy the file again or remove it",
) -> Iterator[None]:
    """Turn what the system or a decoder says of a file that cannot be read into a sentence.

    Args:
        path: what the block reads.
        kind: what the file should be, such as ``JSON``.
        errors: what the decoder raises; an ``OSError`` is caught in any case, as is a ``RecursionError``, of what lies
            too deep in itself, and a ``UserError`` never.
        remedy: what to do about a file that is broken. Where the system refuses it, the sentence says so.

    Raises:
        UserError: the block raised one of the errors, which is the cause of this one.

    Example:
        >>> with reading("a/datalist.json", "JSON", errors=(ValueError,), remedy="correct it"):
        ...     raise ValueError("Expecting value: line 1")
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: 'a/datalist.json' cannot be read as JSON (Expecting value: line 1): correct it.
    """
    caught: tuple[type[Exception], ...] = (OSError, RecursionError, *errors)
    try:
        yield
    except UserError:
        raise
    except caught as error:
        # what a decoder raises as an OSError has no code of the system
        refused = isinstance(error, OSError) and error.errno is not None
        reason = error.strerror if isinstance(error, OSError) and refused else first_line(error)
        todo = "check the path and its permissions" if refused else remedy
        if isinstance(error, IsADirectoryError):
            todo = "give a file"
        sentence = f"'{path}' cannot be read{kind and f' as {kind}'} ({reason}): {todo}."
        raise UserError(sentence, path=path) from error


def check_columns(path: str | Path, wanted: Iterable[str], found: Iterable[str] | None, *, remedy: str) -> None:
    """Check that a table has its columns.

    Args:
        path: of the table.
        wanted: names of the columns that it must have.
        found: those that it has, ``None`` in an empty file.
        remedy: what to do about a table that is another.

    Raises:
        UserError: a column is missing.
    """
    names = set(found or ())
    for column in wanted:
        if column not in names:
            raise UserError(f"'{path}' lacks the column '{column}': {remedy}.", path=path, key=column)


def first_line(error: BaseException) -> str:
    """Return what an error of a library says first, short enough for a sentence; its class where it says nothing."""
    said = f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else str(error)
    return (said.strip().splitlines() or [type(error).__name__])[0][:200]


def user_error(error: BaseException | None) -> UserError | None:
    """Return the user error among ``error`` and its causes, or ``None``."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def as_user_error(error: BaseException | None) -> UserError | None:
    """Return what the user can do about ``error``, or ``None`` where the package is to blame.

    That is the user error among it and its causes, else what one of these says of a full disk, a path that cannot be
    written to, or the missing module of an extra.
    """
    found = user_error(error)
    while error is not None and found is None:
        found = _of_the_system(error)
        error = error.__cause__
    return found


def _of_the_system(error: BaseException) -> UserError | None:
    import sqlite3

    if isinstance(error, OSError) and error.errno in REMEDIES:
        # of a copy the second one, for it is seldom what is read
        name = error.filename2 or error.filename
        file = f"'{name}'" if name else "A file"
        remedy = REMEDIES[error.errno].format(other="give another path")
        return UserError(f"{file} cannot be read or written ({error.strerror}): {remedy}.", path=name)
    if isinstance(error, sqlite3.OperationalError) and any(word in str(error) for word in DATABASE_ON_A_BAD_DISK):
        return UserError(f"A database cannot be read or written ({error}): free space, or give another folder.")
    if isinstance(error, ModuleNotFoundError) and (name := (error.name or "").partition(".")[0]) in EXTRAS:
        return missing_package(name)
    return None
