"""What an engine is, and the engine of one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Protocol, TypeAlias

from bus_monai.inference.manifest import Entry, Outcome
from bus_monai.inference.segment_file import SegmentFile

WORKER_THREADS = 3
"""Threads: while one file is segmented, the next is decoded and the last is written."""
MAX_FILES_AHEAD = 2 * WORKER_THREADS
"""Files that may be begun and not recorded yet, which bounds the memory."""


@dataclass(frozen=True)
class LocalEngine:
    """Segment in threads of this process; see :class:`~bus_monai.inference.executors.local.Engine`."""

    name: str = "local"

    def __call__(self, segment: SegmentFile, tasks: Iterator[Task], record: Record) -> None:
        """Segment every file and record each in the order of the tasks, of which few are drawn ahead."""
        pending: deque[tuple[Task, Future[Outcome]]] = deque()
        # both apart from ``pending`` and the pool, since an interruption may come between any two steps of this thread,
        # and while the pool starts one of its own
        running: set[str] = set()
        done: dict[str, tuple[Task, Outcome]] = {}
        changed = Condition()

        def run(task: Task) -> Outcome:
            path = task.entry.path
            with changed:
                running.add(path)
            try:
                outcome = segment(task.path, task.entry.name)
                done[path] = task, outcome
                return outcome
            finally:
                with changed:
                    running.discard(path)
                    changed.notify_all()

        def record_first() -> None:
            task, future = pending[0]
            record(task, future.result())
            del done[task.entry.path]
            pending.popleft()

        with ThreadPoolExecutor(WORKER_THREADS, thread_name_prefix="segment") as pool:
            try:
                for task in tasks:
                    pending.append((task, pool.submit(run, task)))
                    while len(pending) >= MAX_FILES_AHEAD:
                        record_first()
                while pending:
                    record_first()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                with changed:
                    changed.wait_for(lambda: not running)
                for task, outcome in done.values():
                    record(task, outcome)
                raise


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
