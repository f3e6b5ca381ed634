"""Check which file and key an error of the user speaks of, and not its English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus_monai.errors import UserError, user_error


def check_sentence(message: str, *named: object, path: str | Path | None = None, key: str | None = None) -> None:
    """Check that a sentence names these, each as a word of its own.

    Args:
        message: the sentence.
        named: the value that is wrong, what there is instead, the option or command that is the remedy.
        path: the file or folder that it speaks of, which stands in quotes.
        key: the config key, argument, column or option that it speaks of.
    """
    facts = [*named, *([] if path is None else [f"'{path}'"]), *([] if key is None else [key])]
    missing = [fact for fact in map(str, facts) if not _names(message, fact)]
    assert not missing, f"not named: {missing}; said: {message}"


def _names(message: str, fact: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(fact)}(?![\w-])", message) is not None


def check_names(error: UserError, *named: object, path: str | Path | None = None, key: str | None = None) -> None:
    """Check that an error names these, see :func:`check_sentence`, and speaks of no other file or key."""
    assert path is None or error.path in (None, Path(path)), f"it speaks of the file {error.path}: {error}"
    assert key is None or error.key in (None, key), f"it speaks of the key {error.key}: {error}"
    # what is wrong with a disk may have a remedy that needs no option
    check_sentence(str(error), *named, path=path, key=None if error.key else key)


def check_said(output: str, *named: object, path: str | Path | None = None, key: str | None = None) -> None:
    """Check that the last line of what the command line printed is an error that names these."""
    line = output.strip().splitlines()[-1]
    assert line.startswith("bus-monai: "), output
    check_sentence(line.removeprefix("bus-monai: "), *named, path=path, key=key)


@contextmanager
def raises_user_error(
    *named: object, path: str | Path | None = None, key: str | None = None, wrapped: bool = False
) -> Iterator[None]:
    """Check that the block raises a user error that names what is wrong, see :func:`check_names`.

    Args:
        named: what its sentence must name.
        path: the file or folder that it speaks of.
        key: the config key, argument, column or option that it speaks of.
        wrapped: whether it may be the cause of another error, as MONAI wraps what the parts of a config raise.
    """
    with pytest.raises(Exception if wrapped else UserError) as caught:
        yield
    error = user_error(caught.value)
    assert error is not None, f"no user error: {caught.value!r}"
    check_names(error, *named, path=path, key=key)
