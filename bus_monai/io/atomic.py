"""Files, tables and folders that are whole or not there, and the folder of what can be made again."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from bus_monai.errors import writing
from bus_monai.io.ours import KNOWN_COLUMNS, files_below, is_table_of, not_ours

_PARTIAL = re.compile(r"\.part-[0-9a-f]{8}-")
LONGEST_NAME, LONGEST_MARK = 255, 15
"""Bytes of a file's name, and of what stands before it while the file is written."""
ABANDONED_S = 86_400.0
"""After which a file that was begun is one of a writer that was killed."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` to write to; at the end it is flushed to the disk and renamed.

    Each writer has a name of its own: of two that write at once the last one wins. What a killed one left is removed
    where a process writes to the folder a day later, see also :func:`remove_partial_files`. What was there before stays
    where the block raises. An error of the system names ``path``: of an open file it names none, and the other name
    tells nobody anything.

    Raises:
        OSError: the disk is full, or the folder is missing or cannot be written to.
    """
    _remove_abandoned(path.parent)
    ending = os.fsdecode(os.fsencode(path.name)[LONGEST_MARK - LONGEST_NAME :])
    partial = path.with_name(f".part-{secrets.token_hex(4)}-{ending}")
    try:
        yield partial
        handle = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename2 or error.filename or partial) == str(partial):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@lru_cache(maxsize=1024)
def _remove_abandoned(folder: Path) -> None:
    """Remove what killed writers left in a folder, which is looked at once by a process."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _PARTIAL.match(entry.name) and time.time() - entry.stat().st_mtime > ABANDONED_S:
                Path(entry).unlink()


def remove_partial_files(folder: Path) -> None:
    """Remove below a folder, to which nobody writes now, what writers that were killed left."""
    for path in files_below(folder):
        if _PARTIAL.match(path.name):
            path.unlink(missing_ok=True)


def check_writable(folder: str | Path) -> Path:
    """Make ``folder``, write a byte to it, and return it.

    Raises:
        UserError: it cannot be made or written to.
    """
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # a file without a name: processes that check the same folder at once do not meet
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    return folder


def write_json(path: Path, content: object) -> None:
    """Write plain values as JSON; the file appears complete or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@contextmanager
def whole_folder(folder: Path, *, last: str) -> Iterator[Path]:
    """Yield an empty folder to fill, which becomes ``folder`` at the end.

    Everything is written beside ``folder`` and renamed at the end: an interrupted call leaves nothing behind, and of
    two processes that write the same folder one wins.

    Args:
        folder: must not exist yet, or be left whole by the winner of two.
        last: file without which a folder is not whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    private = private_folder_beside(folder)
    # a folder within: it bears its final name, and unlike the private one others may read it
    partial = private / folder.name
    try:
        partial.mkdir()
        yield partial
        try:
            partial.replace(folder)
        except OSError:
            if not (folder / last).is_file():
                raise
    finally:
        shutil.rmtree(private, ignore_errors=True)


def private_folder_beside(folder: Path) -> Path:
    """Make a folder of a new name in the parent of ``folder``, for this process alone."""
    return Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))


def cache_folder() -> Path:
    """Return ``BUS_MONAI_CACHE``, else ``bus_monai`` below ``XDG_CACHE_HOME``, else ``~/.cache/bus_monai``."""
    return Path(
        os.environ.get("BUS_MONAI_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bus_monai"
    )


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain_cell(value: object) -> object:
    """Return what may stand in a table: text on one line that no spreadsheet takes for a formula; numbers as they are.

    Example:
        >>> plain_cell("=1+1"), plain_cell("-0.5"), plain_cell("two\\nlines"), plain_cell(7)
        ("'=1+1", '-0.5', 'two lines', 7)
    """
    if not isinstance(value, str):
        return value
    text = "".join(sign if sign.isprintable() else " " for sign in value)
    if not value.startswith(_FORMULA) and not text.lstrip().startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def write_table(
    path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]], *, known: int = KNOWN_COLUMNS
) -> None:
    """Write a table as CSV in UTF-8, ``None`` as an empty field; the file appears complete or not at all.

    Args:
        path: of the file.
        columns: names in the first line.
        rows: a value for each column.
        known: number of the first columns by which an earlier table is known as ours.

    Raises:
        UserError: the file cannot be written, or there is one that does not begin as such a table.
    """
    if os.path.lexists(path) and not is_table_of(path, columns[:known]):
        raise not_ours(path, "its folder")
    with writing(path), atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(itertools.chain([columns], rows))
