"""Files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` to write to; at the end it is flushed to the disk and renamed.

    What was there before stays where the block raises. An error of the system names ``path``: of an open file it names
    none, and the other name tells nobody anything.

    Raises:
        OSError: the disk is full, or the folder is missing or cannot be written to.
    """
    partial = path.with_name(".part-" + path.name)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename2 or error.filename or partial) == str(partial):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
