"""The memory of a process and of those that it started, as it runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Event, Thread


class PeakMemory:
    """Look at a process until the block ends.

    Args:
        process: its number.
    """

    def __init__(self, process: int) -> None:
        self.gigabytes = 0.0
        self._process, self._end = process, Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.02):
            self.gigabytes = max(self.gigabytes, sum(map(_resident, _family(self._process))) / 1e6)


def _family(process: int) -> list[int]:
    found = [process]
    with suppress(OSError):
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            found += [one for child in children.read_text().split() for one in _family(int(child))]
    return found


def _resident(process: int) -> int:
    """Return kilobytes."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
