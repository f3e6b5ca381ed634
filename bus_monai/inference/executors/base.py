"""The interface of executors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from bus_monai.inference.manifest import Entry, Outcome
from bus_monai.inference.segment_file import SegmentFile


@dataclass(frozen=True)
class Task:
    """A file to segment.

    Args:
        path: its path.
        entry: its item of the manifest.
    """

    path: Path
    entry: Entry


Record: TypeAlias = Callable[[Task, Outcome], None]
"""Keeps what became of a file, the same where it is told twice; for the thread that called the engine alone."""


class Engine(Protocol):
    """Feeds files to the function that segments one, wherever that runs."""

    @property
    def name(self) -> str:
        """Name in ``run.json``."""
        ...

    def __call__(self, segment: SegmentFile, tasks: Iterator[Task], record: Record) -> None:
        """Segment every file and record each once, in any order.

        Raises:
            OutputError: nothing more can be written; what was done is recorded.
            KeyboardInterrupt: what was begun is finished and recorded.
        """
        ...
