"""The engine of one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from bus_monai.inference.executors.base import Record, Task
from bus_monai.inference.manifest import Outcome
from bus_monai.inference.segment_file import SegmentFile

WORKERS = 3
"""Threads: while one file is segmented, the next is decoded and the last is written."""
AHEAD = 2 * WORKERS
"""Files that may be begun and not recorded yet, which bounds the memory."""


@dataclass(frozen=True)
class LocalEngine:
    """Segment in threads of this process; see :class:`~bus_monai.inference.executors.base.Engine`."""

    name: str = "local"

    def __call__(self, segment: SegmentFile, tasks: Iterator[Task], record: Record) -> None:
        """Segment every file and record each in the order of the tasks, of which few are drawn ahead."""
        pending: deque[tuple[Task, Future[Outcome]]] = deque()

        def record_first() -> None:
            task, future = pending[0]
            outcome = future.result()
            pending.popleft()
            record(task, outcome)

        with ThreadPoolExecutor(WORKERS, thread_name_prefix="segment") as pool:
            try:
                for task in tasks:
                    pending.append((task, pool.submit(segment, task.path, task.entry.name)))
                    while len(pending) >= AHEAD:
                        record_first()
                while pending:
                    record_first()
            except BaseException:
                _record_what_is_done(pending, record)
                raise


def _record_what_is_done(pending: deque[tuple[Task, Future[Outcome]]], record: Record) -> None:
    for _, future in pending:
        future.cancel()
    for task, future in pending:
        if not future.cancelled() and future.exception() is None:
            record(task, future.result())
