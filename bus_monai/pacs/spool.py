"""Received instances on disk, each a folder that is renamed from state to state."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from typing import Literal, TypeAlias

from filelock import FileLock, Timeout

from bus_monai.errors import UserError, writing

FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 300.0
"""Seconds between two tries: doubled each time, up to five minutes."""


class Backoff:
    """Growing pauses of several things, each by its name."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}

    def failed(self, name: str) -> float:
        """Note a failure; return the seconds to wait."""
        failures = self.failures(name)
        pause = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 20))
        self._failures[name] = failures + 1
        self._due[name] = time.monotonic() + pause
        return pause

    def succeeded(self, name: str) -> None:
        """Forget its failures."""
        self._failures.pop(name, None)
        self._due.pop(name, None)

    def failures(self, name: str) -> int:
        """Return how often it failed since it last succeeded."""
        return self._failures.get(name, 0)

    def due(self, name: str) -> float:
        """Return when its pause is over, in seconds of the monotonic clock; 0 where there is none."""
        return self._due.get(name, 0)

    def is_due(self, name: str) -> bool:
        """Tell whether its pause is over."""
        return time.monotonic() >= self.due(name)


State: TypeAlias = Literal["received", "done", "failed"]
STATES: tuple[State, ...] = ("received", "done", "failed")
IMAGE_FILE = "image.dcm"
"""The instance as it came."""
REASON_FILE = "reason.txt"
"""Why a failed one failed."""
CALLER_FILE = "caller.txt"
"""AE title of who sent it."""
PARTIAL, _SENT = "partial", "sent"


class SpoolFullError(Exception):
    """There is no room for this instance now."""


class Spool:
    """A folder of instances; what is in it survives the end of the process, and of the machine, at any moment.

    ``received/ID`` is acknowledged and not segmented yet, ``done/ID`` has its results too, ``failed/ID`` a reason;
    what was sent is removed. An instance's ID is the SHA-256 of its bytes, so that no name comes from the network and
    the same instance, sent again, is the same. All methods may be called from any thread.

    Args:
        folder: made where missing, readable for its owner alone.
        max_bytes: of all files in it, from which on nothing more is received.

    Raises:
        UserError: the folder cannot be written to, or another process uses it.
    """

    def __init__(self, folder: Path, max_bytes: float) -> None:
        self.path, self.max_bytes = folder.absolute(), max_bytes
        self._turn = Lock()
        self.news: dict[State, Event] = {state: Event() for state in STATES}
        with writing(folder, option="--spool"):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            # closed by whichever thread ends the service
            self._lock = FileLock(self.path / "lock", thread_local=False)
            try:
                self._lock.acquire(blocking=False)
            except Timeout as error:
                raise UserError(
                    f"Another process uses '{folder}': stop it or give another --spool.", path=folder, key="--spool"
                ) from error
            for left in (PARTIAL, _SENT):  # begun, not acknowledged; or sent and not removed yet
                shutil.rmtree(self.path / left, ignore_errors=True)
            for name in (*STATES, PARTIAL, _SENT):
                (self.path / name).mkdir(exist_ok=True, mode=0o700)
            sync_folder(self.path)
        self._used = sum(_size(self.path / state) for state in STATES)

    @property
    def used_bytes(self) -> int:
        """Size of all files in it."""
        return self._used

    def close(self) -> None:
        """Let another process use the folder."""
        self._lock.release()

    def receive(self, content: bytes, caller: str = "") -> str:
        """Keep an instance; when this returns, it is on the disk.

        Args:
            content: of a DICOM file.
            caller: AE title of who sends it.

        Returns:
            Its ID.

        Raises:
            SpoolFullError: the spool has reached its limit.
            OSError: the disk is full or fails.
        """
        name = hashlib.sha256(content).hexdigest()[:32]
        size = len(content) + len(caller.encode())
        with self._turn:
            if self._is_waiting(name):
                sync_folder(self.path / "received")  # at which an earlier try may have failed
                return name
            if self._used + size > self.max_bytes:
                raise SpoolFullError
            self._used += size
        kept = False
        partial = Path(tempfile.mkdtemp(dir=self.path / PARTIAL))
        try:
            for path, data in ((partial / IMAGE_FILE, content), (partial / CALLER_FILE, caller.encode())):
                if not data:
                    continue
                with path.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fchmod(file.fileno(), 0o600)
                    os.fsync(file.fileno())
            sync_folder(partial)
            with self._turn:
                if not self._is_waiting(name):
                    partial.rename(self.folder("received", name))
                    kept = True
                sync_folder(self.path / "received")
        finally:
            if not kept:
                shutil.rmtree(partial, ignore_errors=True)
                with self._turn:
                    self._used -= size
        self.news["received"].set()
        return name

    def names(self, state: State) -> Sequence[str]:
        """Return the IDs of all instances in a state, the oldest first."""
        images = []
        for path in (self.path / state).glob(f"*/{IMAGE_FILE}"):
            with suppress(FileNotFoundError):  # it has gone on meanwhile
                images.append((path.stat().st_mtime_ns, path))
        return [path.parent.name for _, path in sorted(images)]

    def describe(self) -> str:
        """Say how many instances there are in each state."""
        received, done, failed = (len(self.names(state)) for state in STATES)
        return f"{received} to segment, {done} to send, {failed} failed"

    def caller(self, name: str) -> str:
        """Return the AE title of who sent a received instance; empty where an earlier version received it."""
        path = self.folder("received", name) / CALLER_FILE
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def folder(self, state: State, name: str) -> Path:
        """Return where an instance is, with its results."""
        return self.path / state / name

    def move(self, name: str, to: State) -> None:
        """Bring a received instance, with all that was written beside it, into another state, durably.

        Raises:
            OSError: the disk fails.
        """
        source, target = self.folder("received", name), self.folder(to, name)
        for path in source.iterdir():
            if path.is_file() and not path.is_symlink():
                path.chmod(0o600)
        sync_folder(source)
        known = (path.stat().st_size for path in map(source.joinpath, (IMAGE_FILE, CALLER_FILE)) if path.exists())
        grown = _size(source) - sum(known)
        with self._turn:
            if target.exists():  # it failed before and was sent again
                self._remove(target)
            source.rename(target)
            sync_folder(target.parent)
            sync_folder(source.parent)
            self._used += grown
        self.news[to].set()

    def forget(self, state: State, name: str) -> None:
        """Remove an instance that needs nothing more.

        Raises:
            OSError: the disk fails.
        """
        with self._turn:
            self._remove(self.folder(state, name))

    def _remove(self, folder: Path) -> None:
        # renamed first, so that no half of it is left in its state
        gone = Path(tempfile.mkdtemp(dir=self.path / _SENT)) / folder.name
        size = _size(folder)
        folder.rename(gone)
        sync_folder(folder.parent)
        shutil.rmtree(gone.parent, ignore_errors=True)
        self._used -= size

    def _is_waiting(self, name: str) -> bool:
        return any(self.folder(state, name).exists() for state in ("received", "done"))


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, as ``fsync(2)`` asks for beside that of the files.

    Raises:
        OSError: the disk fails.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
