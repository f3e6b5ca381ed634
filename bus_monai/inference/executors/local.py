"""What an executor is, and that of one machine."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import LifoQueue
from threading import Condition, Thread
from typing import Protocol, TypeAlias

from bus_monai.inference.executors.worker import SegmentOne, Worker
from bus_monai.inference.manifest import Entry, Outcome
from bus_monai.inference.segment_file import SegmentFile

WORKER_THREADS = 3
"""Threads of one process alone: while one file is segmented, the next is decoded and the last is written."""
MAX_FILES_AHEAD = 2 * WORKER_THREADS
"""Files that may be begun and not recorded yet for each process, which bounds the memory."""
FILES_BEFORE_WORKER = 8
"""Files for which one more process is started: it is ready after a second, when fewer would be done."""
FILE_BYTES = 500_000
"""Of a file that counts as two, one of twice as many as three."""
MAX_PROCESSES = 16
"""By default; each takes some 150 MB."""


def usable_cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class LocalExecutor:
    """Segment in threads of this process, and in other processes; see :class:`~.local.Executor`.

    Threads of Python wait for each other: with a process for each core a network of one thread in each is faster. What
    PyTorch segments, which takes all cores and much memory by itself, stays here.

    Args:
        processes: at most, this one among them.
    """

    processes: int = 1
    name: str = "local"

    def __call__(self, segment: SegmentFile, tasks: Iterator[Task], record: Record) -> None:
        """Segment every file and record each in the order of the tasks, of which few are drawn ahead."""
        several = self.processes > 1 and segment.predictor.backend.startswith("openvino")
        threads = self.processes if several else WORKER_THREADS
        most_ahead = MAX_FILES_AHEAD * self.processes if several else MAX_FILES_AHEAD
        pending: deque[tuple[Task, Future[Outcome]]] = deque()
        # both apart from ``pending`` and the pool, since an interruption may come between any two steps of this thread,
        # and while the pool starts one of its own
        running: set[str] = set()
        done: dict[str, tuple[Task, Outcome]] = {}
        changed = Condition()
        free: LifoQueue[SegmentOne] = LifoQueue()
        for _ in range(1 if several else WORKER_THREADS):
            free.put(segment)

        def run(task: Task) -> Outcome:
            path = task.entry.path
            with changed:
                running.add(path)
            one = free.get()
            try:
                outcome = one(task.path, task.entry.name)
                done[path] = task, outcome
                return outcome
            finally:
                free.put(one)
                with changed:
                    running.discard(path)
                    changed.notify_all()

        def record_first() -> None:
            task, future = pending[0]
            record(task, future.result())
            del done[task.entry.path]
            pending.popleft()

        with _Workers(segment, free) as workers, ThreadPoolExecutor(threads, thread_name_prefix="segment") as pool:
            try:
                for task in tasks:
                    pending.append((task, pool.submit(run, task)))
                    if several:
                        workers.add(task, self.processes - 1)
                    while len(pending) >= most_ahead:
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


class _Workers:
    """Processes that are started as the files of a job turn out to be many, by the thread that runs it.

    Args:
        segment: what they do.
        free: where each is put when it is ready.
    """

    def __init__(self, segment: SegmentFile, free: LifoQueue[SegmentOne]) -> None:
        self._segment, self._free = segment, free
        self._started: list[Worker] = []
        self._files = self._weight = 0

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._started:
            worker.close()

    def add(self, task: Task, most: int) -> None:
        """Note one more file, and start a process, of so many at most, where they are worth one."""
        self._files += 1
        self._weight += 1
        with suppress(OSError):
            self._weight += task.path.stat().st_size // FILE_BYTES
        wanted = min(most, self._files - 1, self._weight // FILES_BEFORE_WORKER)
        if wanted > len(self._started):
            with suppress(OSError):  # without it the job is slower
                worker = Worker(self._segment)
                self._started.append(worker)
                Thread(target=self._put_when_ready, args=(worker,), daemon=True).start()

    def _put_when_ready(self, worker: Worker) -> None:
        if worker.is_ready():
            self._free.put(worker)


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
"""Keeps what became of a file, the same where it is told twice; for the thread that called the executor alone."""


class Executor(Protocol):
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
