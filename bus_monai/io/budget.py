"""How much one file may ask for, told before anything of it is decoded, and alarms that ring when its time is over."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from threading import TIMEOUT_MAX, Condition, Thread

from bus_monai.errors import UserError

MAX_PIXELS = 25_000_000
"""Of a frame; some digitized films of mammography have up to 37 million, ultrasound less than 2."""
MAX_FRAMES = 5_000
"""Of a file; a minute of ultrasound at 60 frames per second has 3,600."""
MAX_FILE_PIXELS = 1_000_000_000
"""Of all frames of a file."""
MAX_FILE_BYTES = 128_000_000
"""Of a file that is compressed as a whole, as it unpacks."""
MAX_ELEMENTS = 200_000
"""Of a DICOM header; one of 5,000 frames with their functional groups has 150,000."""
MAX_FILE_SECONDS = 900
"""Of a file, read and segmented; a thousand frames take one or two minutes on two cores."""
MAX_MEMORY_BYTES = 1_000_000_000
"""Of a process that reads files, all that is mapped into it."""
VARIABLE_PREFIX = "BUS_MONAI_"
"""Of the variables of the environment that set another number, such as ``BUS_MONAI_MAX_FRAMES``."""


@dataclass(frozen=True)
class Budget:
    """What one file may ask for.

    Args:
        pixels: of a frame.
        frames: of the file.
        file_pixels: of all its frames.
        file_bytes: of a file that is compressed as a whole, as it unpacks.
        elements: of a DICOM header, those of its sequences included.
        file_seconds: of the clock, for the file to be read and segmented.
        memory_bytes: of a process that reads it, where the system can limit them.

    Example:
        >>> Budget().check_frame("breast.png", 60_000, 60_000)
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: 'breast.png' has 60000 x 60000 pixels per frame, more than 25,000,000: scale it
        down, or set BUS_MONAI_MAX_PIXELS.
    """

    pixels: int = MAX_PIXELS
    frames: int = MAX_FRAMES
    file_pixels: int = MAX_FILE_PIXELS
    file_bytes: int = MAX_FILE_BYTES
    elements: int = MAX_ELEMENTS
    file_seconds: int = MAX_FILE_SECONDS
    memory_bytes: int = MAX_MEMORY_BYTES

    @classmethod
    def current(cls) -> Budget:
        """Return the budget with what the environment says otherwise.

        Raises:
            UserError: a variable is no whole number above 0.
        """
        return cls(
            _limit("MAX_PIXELS", MAX_PIXELS),
            _limit("MAX_FRAMES", MAX_FRAMES),
            _limit("MAX_FILE_PIXELS", MAX_FILE_PIXELS),
            _limit("MAX_FILE_BYTES", MAX_FILE_BYTES),
            _limit("MAX_ELEMENTS", MAX_ELEMENTS),
            _limit("MAX_FILE_SECONDS", MAX_FILE_SECONDS),
            _limit("MAX_MEMORY_BYTES", MAX_MEMORY_BYTES),
        )

    def check_frame(self, path: str | Path, rows: int, columns: int) -> None:
        """Check the size of a frame.

        Raises:
            UserError: it has no pixel, or too many.
        """
        if rows < 1 or columns < 1:
            raise UserError(f"'{path}' has {rows} x {columns} pixels: copy the file again or remove it.", path=path)
        if rows * columns > self.pixels:
            raise self.too_large(path, f"{rows} x {columns} pixels per frame")

    def too_large(self, path: str | Path, what: str = "a frame of too many pixels to be opened") -> UserError:
        """Return what to say of a frame that is too large."""
        return _too_much(path, what, self.pixels, "scale it down", "MAX_PIXELS")

    def check_frames(self, path: str | Path, frames: int, rows: int, columns: int) -> None:
        """Check the size of a frame and the number of frames.

        Raises:
            UserError: a frame has no pixel or too many, or there are too many frames or none.
        """
        self.check_frame(path, rows, columns)
        if frames < 1:
            raise UserError(f"'{path}' has {frames} frames: copy the file again or remove it.", path=path)
        if frames > self.frames:
            raise _too_much(path, f"{frames:,} frames", self.frames, "split it", "MAX_FRAMES")
        if frames * rows * columns > self.file_pixels:
            what = f"{frames * rows * columns:,} pixels in {frames:,} frames"
            raise _too_much(path, what, self.file_pixels, "split it", "MAX_FILE_PIXELS")

    def check_bytes(self, path: str | Path, count: int) -> None:
        """Check how much a compressed file unpacks to.

        Raises:
            UserError: it is too much.
        """
        if count > self.file_bytes:
            raise _too_much(path, "contents that unpack to more bytes", self.file_bytes, "unpack it", "MAX_FILE_BYTES")

    def check_elements(self, path: str | Path, count: int) -> None:
        """Check how many elements a DICOM header has.

        Raises:
            UserError: it has too many.
        """
        if count > self.elements:
            raise _too_much(path, "elements in its header", self.elements, "remove it", "MAX_ELEMENTS")

    def too_slow(self, path: str | Path) -> UserError:
        """Return what to say of a file that takes too long."""
        return _beyond(path, f"takes more than {self.file_seconds:,} s", "split it", "MAX_FILE_SECONDS")

    def too_big(self, path: str | Path) -> UserError:
        """Return what to say of a file that takes too much memory."""
        what = f"takes more than {self.memory_bytes:,} bytes of memory to be read"
        return _beyond(path, what, "split it", "MAX_MEMORY_BYTES")


def _too_much(path: str | Path, what: str, most: int, remedy: str, name: str) -> UserError:
    return _beyond(path, f"has {what}, more than {most:,}", remedy, name)


def _beyond(path: str | Path, what: str, remedy: str, name: str) -> UserError:
    sentence = f"'{path}' {what}: {remedy}, or set {VARIABLE_PREFIX}{name}."
    return UserError(sentence, path=path, key=VARIABLE_PREFIX + name)


def _limit(name: str, default: int) -> int:
    text = os.environ.get(VARIABLE_PREFIX + name, "")
    if not text:
        return default
    if not text.isdecimal() or not int(text[:20]) > 0:
        raise UserError(
            f"{VARIABLE_PREFIX}{name} is {text!r}: give a whole number above 0, or unset it.",
            key=VARIABLE_PREFIX + name,
        )
    return int(text[:20])


class Alarms:
    """Alarms of one thread, which may be set and stopped from any: a timer is a thread of its own.

    Example:
        >>> alarms = Alarms()
        >>> alarm = alarms.set(lambda: print("too late"), 900)
        >>> alarms.is_set(alarm), alarms.stop(alarm), alarms.is_set(alarm)
        (True, None, False)
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._next = math.inf
        self._thread = Thread(target=self._run, daemon=True)

    def set(self, ring: Callable[[], None], seconds: float) -> object:
        """Call ``ring`` after some seconds, unless the alarm is stopped before.

        Args:
            ring: short, since other alarms wait for it.
            seconds: at most some hundred years.

        Returns:
            The alarm.
        """
        alarm, at = object(), time.monotonic() + min(seconds, TIMEOUT_MAX)
        with self._changed:
            self._due[alarm] = at, ring
            if not self._thread.is_alive():
                self._thread = Thread(target=self._run, name="alarms", daemon=True)
                self._thread.start()
            elif at < self._next:
                self._changed.notify()
        return alarm

    def is_set(self, alarm: object) -> bool:
        """Tell whether an alarm has neither rung nor been stopped."""
        with self._changed:
            return alarm in self._due

    def stop(self, alarm: object) -> None:
        """Let an alarm not ring; one that rings is waited for."""
        with self._changed:
            self._due.pop(alarm, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for at, alarm in sorted(((at, alarm) for alarm, (at, _) in self._due.items()), key=itemgetter(0)):
                    if at <= now:
                        self._due.pop(alarm)[1]()
                # mostly what is set later rings later, too, and need not wake this thread
                self._next = min((at for at, _ in self._due.values()), default=math.inf)
                self._changed.wait(None if self._next == math.inf else self._next - now)


ALARMS = Alarms()
