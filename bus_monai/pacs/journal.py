"""The audit journal of a node: what became of each instance and why, where its results went, and when."""

from __future__ import annotations

import errno
import hmac
import json
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from threading import Lock
from typing import Any

from pydicom.dataset import Dataset

from bus_monai.errors import UserError, reading, writing

KEY_VARIABLE = "BUS_MONAI_JOURNAL_KEY"
"""The environment variable with the key of the hashes; without it a file beside the journal holds one."""
JOURNAL_FOLDER, KEY_FILE = "journal", "key"
"""Names of its folder in the spool, and in it of the file with the key."""
UID_KEYWORDS = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "image": "SOPInstanceUID"}
_TABLES = """
CREATE TABLE IF NOT EXISTS instances (
    instance TEXT NOT NULL,
    received TEXT NOT NULL,
    caller TEXT NOT NULL,
    study TEXT NOT NULL,
    uids TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    details TEXT NOT NULL,
    seconds REAL NOT NULL,
    decided TEXT NOT NULL,
    PRIMARY KEY (instance, received)
);
CREATE INDEX IF NOT EXISTS by_study ON instances (study);
CREATE TABLE IF NOT EXISTS stored (
    instance TEXT NOT NULL,
    received TEXT NOT NULL,
    object TEXT NOT NULL,
    destination TEXT NOT NULL,
    acknowledged TEXT NOT NULL,
    PRIMARY KEY (instance, received, object, destination)
);
"""


class Journal:
    """A row for each instance and one for each object that was stored, in ``YYYY-MM.sqlite``, by the month of receipt.

    A row is on the disk before the instance goes on, so that no end of the process loses one; an instance that is
    segmented again, since the process ended between, replaces its own. Files of past months are never touched again
    and may be moved away. There is no name and no number of a patient in it. All methods may be called from any thread.

    Args:
        folder: made where missing, readable for its owner alone.
        keep_uids: whether the real UIDs are kept beside their hashes.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, *, keep_uids: bool = False) -> None:
        self.folder, self.keep_uids = folder, keep_uids
        self._turn = Lock()
        with writing(folder, option="--spool"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = folder / KEY_FILE
            if KEY_VARIABLE not in os.environ and not key.exists():
                handle = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w") as file:
                    file.write(secrets.token_hex(32))
        self._key = _read_key(folder)

    def decided(
        self,
        instance: str,
        received: datetime,
        *,
        caller: str,
        header: Dataset | None,
        state: str,
        reason: str,
        details: Mapping[str, Any],
        seconds: float,
    ) -> None:
        """Write what was decided on an instance, and why.

        Args:
            instance: its ID in the spool.
            received: when it was acknowledged.
            caller: AE title of who sent it.
            header: whose UIDs are hashed; ``None`` where it could not be read.
            state: ``done``, ``failed``, ``not assessed`` or ``skipped``.
            reason: why it is not ``done``.
            details: of the model and of what it found, plain data.
            seconds: that it took.

        Raises:
            OSError: it cannot be written.
        """
        uids = {name: _uid(header, keyword) for name, keyword in UID_KEYWORDS.items()}
        hashes = {name: _hash(self._key, uid) if uid else "" for name, uid in uids.items()}
        told = hashes | ({f"{name}_uid": uid for name, uid in uids.items()} if self.keep_uids else {})
        row = (
            *(instance, _text(received), caller, hashes["study"], json.dumps(told), state, reason),
            *(json.dumps(details), round(seconds, 3), _text(datetime.now(timezone.utc))),
        )
        self._write(received, "INSERT OR REPLACE INTO instances VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def stored(self, instance: str, received: datetime, result: str, destination: str) -> None:
        """Write that the destination acknowledged one object of an instance.

        Args:
            instance: its ID in the spool.
            received: when it was acknowledged.
            result: name of the object, such as ``image_seg.dcm``.
            destination: where it is now.

        Raises:
            OSError: it cannot be written.
        """
        row = (instance, _text(received), result, destination, _text(datetime.now(timezone.utc)))
        self._write(received, "INSERT OR IGNORE INTO stored VALUES (?, ?, ?, ?, ?)", row)

    def _write(self, received: datetime, statement: str, row: Sequence[Any]) -> None:
        path = self.folder / f"{received:%Y-%m}.sqlite"
        with self._turn, _as_os_error(path):
            if not path.exists():
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as base:
                base.execute("PRAGMA synchronous=FULL")
                base.executescript(_TABLES)
                base.execute(statement, row)


def read_study(folder: Path, study: str) -> Iterator[dict[str, Any]]:
    """Yield what is known of each instance of a study, the oldest first, with what of it was stored where and when.

    Args:
        folder: of the journal; files of past months may be there or not.
        study: its Study Instance UID.

    Raises:
        UserError: there is no journal, or it cannot be read.
    """
    wanted = _hash(_read_key(folder), study)
    stored = "SELECT object, destination, acknowledged FROM stored WHERE instance = ? AND received = ? ORDER BY 3"
    for row in _rows(folder, "SELECT * FROM instances WHERE study = ? ORDER BY received", [wanted]):
        told = dict(row) | {name: json.loads(row[name]) for name in ("uids", "details")}
        told["stored"] = [dict(found) for found in _rows(folder, stored, [row["instance"], row["received"]])]
        yield told


def compare_models(folder: Path) -> list[dict[str, Any]]:
    """Return how far a node's model and its shadow agree, for each pair of them in the journal.

    Args:
        folder: of the journal.

    Returns:
        For each pair: its models (``sends``, ``shadow``), the number of ``instances``, how many of them have lesions by
        ``both``, by ``neither``, by ``sends_alone`` and by ``shadow_alone``, on how many the shadow ``failed`` or
        assessed nothing, and the ``median_dice`` of those that both mark, ``None`` where there are none.

    Raises:
        UserError: there is no journal, or it cannot be read.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    scores: dict[tuple[str, str], list[float]] = {}
    for row in _rows(folder, "SELECT details FROM instances WHERE state = 'done'"):
        details = json.loads(row["details"])
        if (shadow := details.get("shadow")) is None:
            continue
        pair = _name(details), _name(shadow)
        found, other = bool(details["lesions"]), bool(shadow["lesions"])
        verdict = {(1, 1): "both", (0, 0): "neither", (1, 0): "sends_alone", (0, 1): "shadow_alone"}[found, other]
        counts.setdefault(pair, Counter())[verdict if shadow["state"] == "done" else "failed"] += 1
        if found and other and "dice" in shadow:
            scores.setdefault(pair, []).append(shadow["dice"])
    return [
        {"sends": pair[0], "shadow": pair[1], "instances": count.total()}
        | {key: count[key] for key in ("both", "neither", "sends_alone", "shadow_alone", "failed")}
        | {"median_dice": median(scores[pair]) if pair in scores else None}
        for pair, count in counts.items()
    ]


def _name(told: Mapping[str, Any]) -> str:
    return f"{told['model']} {told['version']} {told['weights_sha256'][:12]}"


def _rows(folder: Path, query: str, values: Sequence[str] = ()) -> Iterator[sqlite3.Row]:
    """Yield the rows of all months, the oldest first."""
    _check_there(folder)
    for path in sorted(folder.glob("*.sqlite")):
        with (
            reading(path, "a journal", errors=(sqlite3.DatabaseError,), remedy="move it away"),
            closing(sqlite3.connect(path, timeout=30)) as base,
        ):
            base.row_factory = sqlite3.Row
            yield from base.execute(query, values).fetchall()


def _check_there(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"There is no journal in '{folder}': give the --spool of the node.", path=folder, key="--spool")


def _read_key(folder: Path) -> bytes:
    if key := os.environ.get(KEY_VARIABLE):
        return key.encode()
    _check_there(folder)
    with reading(folder / KEY_FILE, remedy=f"put it back, or set {KEY_VARIABLE}"):
        return (folder / KEY_FILE).read_bytes()


def _hash(key: bytes, uid: str) -> str:
    return hmac.new(key, uid.encode(), "sha256").hexdigest()[:32]


def _uid(header: Dataset | None, keyword: str) -> str:
    try:
        return "" if header is None else str(header.get(keyword) or "")
    except Exception:  # values are decoded when they are asked for
        return ""


def _text(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds")


@contextmanager
def _as_os_error(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(errno.EIO, f"the journal cannot be written, {error}", str(path)) from error
