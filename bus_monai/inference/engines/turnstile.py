"""Which files have been begun, wherever that was."""

from __future__ import annotations

from collections import Counter


class Turnstile:
    """Lets files in one by one, by number, and after :meth:`close` none but those that it has let in before."""

    def __init__(self) -> None:
        self._inside: Counter[int] = Counter()
        self._seen: set[int] = set()
        self._closed = False

    def enter(self, number: int) -> int:
        """Let a file in.

        Returns:
            How often it has entered since it last left, which is more than once where its worker died; 0 where the
            turnstile is closed and the file stays out.
        """
        if self._closed and number not in self._seen:
            return 0
        self._seen.add(number)
        self._inside[number] += 1
        return self._inside[number]

    def leave(self, number: int) -> None:
        """Note that a file has been segmented."""
        del self._inside[number]

    def close(self) -> set[int]:
        """Let no other file in, and return those that ever were."""
        self._closed = True
        return self._seen
