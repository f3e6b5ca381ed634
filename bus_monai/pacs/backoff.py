"""When to try again what failed."""

from __future__ import annotations

import time

FIRST, LONGEST = 1.0, 300.0
"""Seconds between two tries: doubled each time, up to five minutes."""


class Backoff:
    """Growing pauses of several things, each by its name."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}

    def failed(self, name: str) -> float:
        """Note a failure; return the seconds to wait."""
        failures = self.failures(name)
        pause = min(LONGEST, FIRST * 2.0 ** min(failures, 20))
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

    def is_due(self, name: str) -> bool:
        """Tell whether its pause is over."""
        return time.monotonic() >= self._due.get(name, 0)
