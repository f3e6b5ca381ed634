"""The versions of a model that were trained on the labels of a store, compared, and signed by this machine."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from filelock import FileLock, Timeout

from bus_monai.bundle.models import TrainedModel, file_hash
from bus_monai.bundle.registry import TRAINED_FILE
from bus_monai.bundle.settings import SETTINGS_FILE, read_settings
from bus_monai.errors import UserError, check_choice, reading, writing
from bus_monai.io.atomic import atomic_file
from bus_monai.label.records import read_kept
from bus_monai.metrics.aggregate import grouped_mean

ACTIVE_FILE = "active.json"
REPORT_FILE = "report.json"
PROGRESS_FILE = "progress.json"
SIGNATURE_FILE = "signature"
logger = logging.getLogger("bus_monai")


class ModelVersions:
    """Versions of one model on disk: ``0001``, ``0002``, ... beside the file that says which is active.

    A version is one from when its report is written, as the last of its files; the active one changes by the renaming
    of one file. So whatever is stopped, and when, a whole model is active. A version counts where it was trained by
    this user on this machine, as its signature says: a folder of images may come from anybody.

    Args:
        folder: of the versions; need not exist.
        start: the model as it came, version 0.
    """

    def __init__(self, folder: Path, start: TrainedModel) -> None:
        self.folder, self.start = folder, start
        # one object, which a thread that trains may take again to activate what it trained
        self._lock = FileLock(folder / ".lock")
        for number in sorted(self._written() - {*self._numbers()}):
            logger.warning(
                "Left out: '%s' was not trained by this user on this machine; to use it, name its %s with --bundles.",
                self._of(number),
                TRAINED_FILE,
            )

    @property
    def active(self) -> int:
        """Number of the version that serves."""
        history = self._history()
        return int(history[-1]["version"]) if history else 0

    def model(self, number: int | None = None) -> TrainedModel:
        """Return the active model, or another version.

        Raises:
            UserError: there is no such version.
        """
        number = self.active if number is None else number
        if number == 0:
            return self.start
        weights = self._of(number) / TRAINED_FILE
        check_choice("version", number, self._numbers(), where=f"'{self.start.name}'")
        return replace(self.start, weights=str(weights), settings=read_settings(weights))

    def activate(self, number: int, by: str | None = None) -> None:
        """Let a version serve.

        Args:
            number: of the version.
            by: name of the annotator who wants it, ``None`` for the gate.

        Raises:
            UserError: there is no such version, or the model is being trained, to be compared with the active one.
        """
        with self._changing():
            self.model(number)
            self._write_history([*self._history(), {"version": number, "by": by, "ts": int(time.time())}])

    def roll_back(self) -> int:
        """Let the version serve that did before the active one; return its number.

        Raises:
            UserError: the model as it came is active, or it is being trained.
        """
        with self._changing():
            history = self._history()
            if not history:
                raise UserError(f"'{self.start.name}' is as it came: there is nothing to roll back to.")
            self._write_history(history[:-1])
            return self.active

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            held = self._lock.acquire(blocking=False)
        except Timeout as error:
            raise UserError(f"'{self.start.name}' is being trained already: wait for its end, or stop it.") from error
        with held:
            yield

    @contextmanager
    def training(self) -> Iterator[Path]:
        """Yield the empty folder of the next version, which one process at a time may fill.

        Raises:
            UserError: the model is being trained already.
        """
        with self._changing():
            number = 1 + max(self._numbers())
            while (self._of(number) / REPORT_FILE).exists():  # somebody else's
                number += 1
            folder = self._of(number)
            # what a killed training left
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder

    def keep(self, folder: Path, report: Mapping[str, Any]) -> int:
        """Make what a training left in its folder a version, with its report; return its number."""
        number = int(folder.name)
        text = json.dumps({"version": number, **report}, indent=1) + "\n"
        with atomic_file(folder / SIGNATURE_FILE) as partial:
            partial.write_text(sign(self._signed_content(number, text)) + "\n", encoding="utf-8")
        with atomic_file(folder / REPORT_FILE) as partial:
            partial.write_text(text, encoding="utf-8")
        return number

    def info(self) -> dict[str, Any]:
        """Return the number of the active version, the reports of all, and who activated which one when, in order."""
        paths = [self._of(number) / REPORT_FILE for number in self._numbers() if number]
        reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return {"active": self.active, "versions": reports, "activations": self._history()}

    def progress(self) -> dict[str, Any]:
        """Return what the last training said of itself."""
        return read_kept(self.folder / PROGRESS_FILE) or {}

    def _of(self, number: int) -> Path:
        return self.folder / f"{number:04d}"

    def _written(self) -> set[int]:
        names = {path.parent.name for path in self.folder.glob(f"[0-9]*/{REPORT_FILE}")}
        return {int(name) for name in names if name.isdecimal() and name == self._of(int(name)).name}

    def _numbers(self) -> list[int]:
        return [0, *sorted(number for number in self._written() if self._is_ours(number))]

    def _is_ours(self, number: int) -> bool:
        folder = self._of(number)
        try:
            text, signature = ((folder / name).read_text("utf-8") for name in (REPORT_FILE, SIGNATURE_FILE))
            content = self._signed_content(number, text)
        except (OSError, ValueError):
            return False
        return is_signed(content, signature)

    def _signed_content(self, number: int, report: str) -> bytes:
        """Return what a signature stands for: whose version it is, its weights, settings and report."""
        files = [file_hash(self._of(number) / name) for name in (TRAINED_FILE, SETTINGS_FILE)]
        return json.dumps([self.start.bundle.name, number, *files, report]).encode()

    def _history(self) -> list[dict[str, Any]]:
        path = self.folder / ACTIVE_FILE
        if not path.is_file():
            return []
        with reading(path, "JSON", errors=(ValueError,), remedy="remove it"):
            content = json.loads(path.read_text(encoding="utf-8"))
        known = self._numbers()
        listed = content if isinstance(content, list) else []
        # a number alone is of before there were names
        entries = [one if isinstance(one, dict) else {"version": one} for one in listed]
        return [one for one in entries if isinstance(one.get("version"), int) and one["version"] in known]

    def _write_history(self, history: list[dict[str, Any]]) -> None:
        with atomic_file(self.folder / ACTIVE_FILE) as partial:
            partial.write_text(json.dumps(history) + "\n", encoding="utf-8")


MIN_INDEPENDENT = 20
"""Images or patients, without which no comparison activates a version."""


def compare_scores(before: Sequence[float], after: Sequence[float], *, groups: Sequence[str]) -> dict[str, Any]:
    """Compare two versions on the same held-out images.

    Args:
        before: Dice of the active version on each image.
        after: of the new one.
        groups: of each image, its patient or near-duplicates; a group counts once in ``independent``.

    Returns:
        ``independent``, the number of groups, and ``at_least``, how many it takes; ``dice`` and ``dice_before``, means
        over the images; ``difference``, their mean difference with its paired 95 % interval ``low`` and ``high`` by
        bootstrap over groups. Without an image the means are ``None``, with a single group the interval is.

    Example:
        >>> found = compare_scores([0.5, 0.7], [0.6, 0.9], groups=["a", "b"])
        >>> [round(found[key], 2) for key in ("difference", "low", "high")], found["independent"]
        ([0.15, 0.1, 0.2], 2)
    """
    count = {"independent": len(set(groups)), "at_least": MIN_INDEPENDENT}
    if not groups:
        return count | dict.fromkeys(("dice", "dice_before", "difference", "low", "high"))
    found = grouped_mean([new - old for old, new in zip(before, after, strict=True)], groups)
    means = {"dice": fmean(after), "dice_before": fmean(before)}
    return count | means | {"difference": found.value, "low": found.low, "high": found.high}


def is_better(comparison: Mapping[str, Any]) -> bool:
    """Tell whether images suffice, and the whole interval of the difference lies above 0."""
    enough: bool = comparison["independent"] >= comparison["at_least"]
    return enough and comparison["low"] is not None and comparison["low"] > 0


def verdict(model: str, number: int, before: int, comparison: Mapping[str, Any]) -> str:
    """Say in a sentence what a comparison found, and which version was active then.

    Args:
        model: its name.
        number: of the new version.
        before: of the one that was active.
        comparison: of both.
    """
    images, least = comparison["independent"], comparison["at_least"]
    state = "became active" if is_better(comparison) else f"was kept, and version {before} stayed active"
    start = f"Version {number} of {model} {state}: compared on {images} independent images"
    if images < least:
        return f"{start}, and it takes {least}."
    interval = f"95 % interval {comparison['low']:+.3f} to {comparison['high']:+.3f}"
    return f"{start}, its Dice differs by {comparison['difference']:+.3f} from that of version {before} ({interval})."


KEY_FILE = "label.key"


KEY_BYTES = 32


def sign(content: bytes) -> str:
    """Return the HMAC-SHA256 of some content under the key of this user on this machine, in hexadecimal digits.

    Raises:
        UserError: the key cannot be read, or not be made where there is none.
    """
    path = _key_path()
    if not path.exists():
        _make_key(path)
    return hmac.new(_read_key(path), content, hashlib.sha256).hexdigest()


def is_signed(content: bytes, signature: str) -> bool:
    """Tell whether :func:`sign` returned the signature of this content here.

    Raises:
        UserError: the key cannot be read, or others than its owner can.
    """
    path = _key_path()
    if not path.exists():
        return False
    expected = hmac.new(_read_key(path), content, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.strip().encode())


def _key_path() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "bus_monai" / KEY_FILE


def _make_key(path: Path) -> None:
    with writing(path, option="XDG_STATE_HOME"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent)  # readable for its owner alone
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            # whole or not there, and of two processes one wins
            with suppress(FileExistsError):
                os.link(name, path)
        finally:
            Path(name).unlink()


def _read_key(path: Path) -> bytes:
    with reading(path):
        status, key = path.stat(), path.read_bytes()
    if len(key) != KEY_BYTES or (os.name == "posix" and status.st_mode & 0o077):
        raise UserError(
            f"'{path}' is no key that its owner alone can read: remove it, and name what was trained with --bundles.",
            path=path,
        )
    return key
