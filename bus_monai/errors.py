"""The error that a user can act on, and the helpers that write its sentences."""

import difflib
import errno
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any


class UserError(ValueError):
    """Input, a config or the machine is not as it must be, and the user can mend it.

    The message is one sentence that says what is wrong, where (file and key), and what to do. The command line
    prints it alone and ends with exit code 2; ``python -m monai.bundle`` prints it as the last line.

    Example:
        >>> raise UserError("'x.png' is truncated: copy the file again or remove it from the data set.")
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: 'x.png' is truncated: copy the file again or remove it from the data set.
    """


def user_error(error: BaseException | None) -> UserError | None:
    """Return the user error among ``error`` and its causes, or ``None``."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def check_choice(key: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise a user error unless ``value``, that of a config key or an option, is one of ``choices``."""
    if value not in choices:
        raise UserError(f"{key} is {value!r}: use one of {', '.join(map(str, choices))}.")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return the nearest of the known words, in brackets to stand behind the wrong one; empty where none is near.

    Example:
        >>> did_you_mean("trainnig", ["training", "test"])
        " (did you mean 'training'?)"
    """
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


EXTRAS = {
    "dicomweb_client": "pacs",
    "pynetdicom": "pacs",
    "nncf": "int8",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "optuna": "search",
    "ray": "ray",
    "requests": "pacs",
}
"""The extra that brings each package, by the name that it is imported by."""


def need_package(name: str) -> None:
    """Check that a package of :data:`EXTRAS` is installed.

    Raises:
        UserError: it is not.
    """
    if find_spec(name) is None:
        raise missing_package(name)


def missing_package(name: str) -> UserError:
    """Return what to say of a package of :data:`EXTRAS` that is not installed."""
    return UserError(f"The package '{name}' is not installed: run \"pip install 'bus-monai[{EXTRAS[name]}]'\".")


REMEDIES = {
    errno.ENOSPC: "free space, or give another folder",
    errno.EDQUOT: "free space, or give another folder",
    errno.EROFS: "give another folder",
    errno.EACCES: "mend its permissions, or give another path",
    errno.EPERM: "mend its permissions, or give another path",
    errno.ENOTDIR: "a part of its path is a file, so give another path",
    errno.EEXIST: "move away what is there, or give another path",
    errno.EISDIR: "give the path of a file",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EIO: "check the disk, or give another folder",
}
"""What to do about a file, where no other part of the package knows better."""

OF_THE_DISK = ("full", "readonly", "unable to open", "disk I/O")
"""What SQLite says where a disk or a folder is to blame, and not the statement."""


def mendable_error(error: BaseException | None) -> UserError | None:
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
        return UserError(f"{file} cannot be read or written ({error.strerror}): {REMEDIES[error.errno]}.")
    if isinstance(error, sqlite3.OperationalError) and any(word in str(error) for word in OF_THE_DISK):
        return UserError(f"A database cannot be read or written ({error}): free space, or give another folder.")
    if isinstance(error, ModuleNotFoundError) and (name := (error.name or "").partition(".")[0]) in EXTRAS:
        return missing_package(name)
    return None
