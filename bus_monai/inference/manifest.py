"""The manifest of a batch: the state of each item, in a file that survives the end of the process at any moment."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bus_monai.errors import UserError
from bus_monai.io.ours import MANIFEST_FILE, is_manifest, not_ours

State: TypeAlias = Literal["new", "done", "failed", "skipped", "not assessed"]
LEFT_OUT: tuple[State, ...] = ("skipped", "not assessed")
"""States of what is not segmented, and about which there is nothing to do."""
_TABLES = """
CREATE TABLE IF NOT EXISTS job (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    path TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    sha256 TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'new',
    reason TEXT NOT NULL DEFAULT '',
    time TEXT NOT NULL DEFAULT '',
    outputs TEXT NOT NULL DEFAULT '[]',
    rows TEXT NOT NULL DEFAULT '[]'
);
"""


@dataclass(frozen=True)
class Outcome:
    """The result of an item.

    Args:
        state: ``done``, ``failed``, ``skipped`` where it is not what was asked for, or ``not assessed`` where it shows
            no breast.
        reason: why it is not ``done``.
        sha256: of the file's content, empty where it could not be read.
        outputs: files written, relative to the folder of all outputs.
        rows: of the table of results.
    """

    state: State
    reason: str = ""
    sha256: str = ""
    outputs: tuple[str, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Entry:
    """An item of the manifest.

    Args:
        path: what identifies it.
        name: of its outputs, which no other item has, upper and lower case alike.
        outcome: what is known of it.
    """

    path: str
    name: str
    outcome: Outcome


class Manifest:
    """A table of items in ``manifest.sqlite``, one row per item, for one process at a time.

    Args:
        folder: of the outputs, which exists.

    Raises:
        UserError: the file cannot be written, is no manifest, or another process has it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST_FILE
        if self.path.is_file() and self.path.stat().st_size and not is_manifest(self.path):
            raise not_ours(self.path, "--out")
        with self._errors():
            self._base = sqlite3.connect(self.path, isolation_level=None, timeout=1)
            # in exclusive mode a second run is refused, and no file of shared memory is left behind
            self._base.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.executescript(_TABLES)
        self._file = self._stamp()

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def describe(self, **values: str) -> dict[str, str]:
        """Keep what the job is where nothing is known of it yet, and return what is known."""
        with self._errors():
            self._base.executemany("INSERT OR IGNORE INTO job VALUES (?, ?)", values.items())
            return dict(self._base.execute("SELECT key, value FROM job"))

    def enter(self, path: str, names: Iterable[str]) -> Entry:
        """Return the item of that path; a new one gets the first of ``names`` that is free.

        What bears the name already is the item, if it is the same file by another path.
        """
        with self._errors():
            for name in names:
                self._base.execute("INSERT OR IGNORE INTO items (path, name) VALUES (?, ?)", (path, name))
                for entry in self._select("WHERE path = ?", (path,)):
                    return entry
                for entry in self._select("WHERE name = ?", (name,)):
                    if _is_same(entry.path, path):
                        return entry
        raise ValueError("names is empty.")

    def has_name(self, name: str) -> bool:
        """Tell whether an item has that name."""
        with self._errors():
            return any(self._select("WHERE name = ?", (name,)))

    def finish(self, entry: Entry, outcome: Outcome) -> None:
        """Record what became of an item.

        Raises:
            UserError: as :meth:`check`, or the file cannot be written.
        """
        self.check()
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        values = (outcome.sha256, outcome.state, outcome.reason, now, json.dumps(outcome.outputs))
        with self._errors():
            self._base.execute(
                "UPDATE items SET sha256 = ?, state = ?, reason = ?, time = ?, outputs = ?, rows = ? WHERE path = ?",
                (*values, json.dumps(outcome.rows), entry.path),
            )

    def entries(self) -> Iterator[Entry]:
        """Yield all items in the order of their paths.

        Raises:
            UserError: as :meth:`check`, or the file cannot be read.
        """
        self.check()
        with self._errors():
            yield from self._select("ORDER BY path")

    def _select(self, condition: str, values: tuple[str, ...] = ()) -> Iterator[Entry]:
        columns = "path, name, state, reason, sha256, outputs, rows"
        for path, name, state, reason, sha256, outputs, rows in self._base.execute(
            f"SELECT {columns} FROM items {condition}",  # noqa: S608 (conditions of this file alone)
            values,
        ):
            outcome = Outcome(state, reason, sha256, tuple(json.loads(outputs)), tuple(json.loads(rows)))
            yield Entry(path, name, outcome)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def check(self) -> None:
        """Check that the file is still the one that was opened, to which SQLite writes even where it has no name.

        Raises:
            UserError: it, or its folder, was removed or replaced.
        """
        if self._stamp() != self._file:
            raise UserError(
                f"'{self.path}' was removed while the job ran, with what was done before: leave --out alone and run "
                "the command again.",
                path=self.path,
                key="--out",
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            busy = "locked" in str(error)
            what = "another run is writing there" if busy else str(error)
            raise UserError(
                f"Cannot write '{self.path}' ({what}): wait, free space, fix its permissions, or change --out.",
                path=self.path,
                key="--out",
            ) from error


def _is_same(path: str, other: str) -> bool:
    try:
        return Path(path).samefile(other)
    except (OSError, ValueError):
        return False


def forget_outputs(out: Path) -> None:
    """Remove the manifest of a folder and every output that it lists; other files stay."""
    path = out / MANIFEST_FILE
    if path.exists():
        manifest = Manifest(out)
        for entry in manifest.entries():
            for name in entry.outcome.outputs:
                (out / name).unlink(missing_ok=True)
        manifest.close()
        path.unlink()
