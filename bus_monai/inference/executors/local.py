"""What an executor is, and that of one machine with its processes, each of which has a model of its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import Protocol, TypeAlias

from bus_monai.inference.executors.worker import FILES_AT_ONCE, Worker
from bus_monai.inference.manifest import Entry, Outcome
from bus_monai.inference.segment_file import SegmentFile
from bus_monai.inference.segment_frames import FRAMES_AHEAD, FRAMES_HERE, Find, FoundFrame, Frame

WORKER_THREADS = 3
"""Threads of one process alone: while one file is segmented, the next is decoded and the last is written."""
MAX_FILES_AHEAD = 2 * WORKER_THREADS
"""Files that may be begun and not recorded yet for each process, which bounds the memory."""
FILES_BEFORE_WORKER = 8
"""Files for which one more process is started: it is ready after a second, when fewer would be done."""
FILE_BYTES = 500_000
"""Of a file that counts as two, one of twice as many as three."""
FRAMES_BEFORE_WORKER = 150
"""Frames of a cine for which one more process is started: for fewer two cores are busy enough with this one."""
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
        processes = self.processes if segment.predictor.backend.startswith("openvino") else 1
        here = FILES_AT_ONCE if processes > 1 else WORKER_THREADS
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
            one = workers.take()
            try:
                outcome = one(task.path, task.entry.name)
                done[path] = task, outcome
                return outcome
            finally:
                workers.give(one)
                with changed:
                    running.discard(path)
                    changed.notify_all()

        def record_first() -> None:
            task, future = pending[0]
            record(task, future.result())
            del done[task.entry.path]
            pending.popleft()

        with _Workers(segment, processes - 1, here) as workers, ThreadPoolExecutor(here * processes, "segment") as pool:
            try:
                for task in tasks:
                    pending.append((task, pool.submit(run, task)))
                    workers.add(task)
                    while len(pending) >= MAX_FILES_AHEAD * processes:
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
    """Processes that are started as the files of a job, or the frames of a cine, turn out to be many.

    A file waits for what is free. A frame of a cine, which this process reads, takes another process as a file does,
    where one is free and no file waits, else this one: so no frame waits for a file, and no file for a cine.

    Args:
        segment: what they do.
        most: processes beside this one.
        here: files that this process may segment at once.
    """

    def __init__(self, segment: SegmentFile, most: int, here: int) -> None:
        self._recipe, self._most = segment, most
        self._segment, self._here = replace(segment, helpers=self), here
        self._changed = Condition()
        self._free: list[Worker] = []  # each as often as it may be asked at once
        self._waiting = self._files = self._weight = 0
        self._starting = Lock()
        self._started: list[Worker] = []
        self._frames_here = FRAMES_HERE
        # kept through the job: with a thread ends the process that it started; alone, none waits for another's turn
        self._alone = ThreadPoolExecutor(FRAMES_HERE, thread_name_prefix="frames")
        self._threads = ThreadPoolExecutor(FILES_AT_ONCE * most + FRAMES_HERE, thread_name_prefix="frames")

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for threads in (self._alone, self._threads):
            threads.shutdown(cancel_futures=True)
        for worker in self._started:
            worker.close()

    def take(self) -> SegmentFile | Worker:
        """Wait for what is to segment a file: this process, else another one."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._here or self._free)
            self._waiting -= 1
            if not self._here:
                return self._free.pop()
            self._here -= 1
            return self._segment

    def give(self, one: SegmentFile | Worker) -> None:
        """Let others have it."""
        with self._changed:
            if isinstance(one, SegmentFile):
                self._here += 1
            else:
                self._free.append(one)
            self._changed.notify_all()

    def add(self, task: Task) -> None:
        """Note one more file, and start a process where the files are worth one."""
        self._files += 1
        self._weight += 1
        with suppress(OSError):
            self._weight += task.path.stat().st_size // FILE_BYTES
        self._start(min(self._files - 1, self._weight // FILES_BEFORE_WORKER))

    def at_once(self, frames: int) -> int:
        """Return how many frames of a cine may be begun, and start processes that so many are worth."""
        self._start(frames // FRAMES_BEFORE_WORKER, reads=False)
        return FRAMES_AHEAD * (len(self._started) + 1)

    def submit(self, find: Find, frame: Frame, /) -> Future[FoundFrame]:
        """Begin a frame, see :class:`~bus_monai.inference.segment_frames.Helpers`."""
        return (self._threads if self._started else self._alone).submit(self._find, find, frame)

    def _find(self, find: Find, frame: Frame) -> FoundFrame:
        with self._changed:
            self._changed.wait_for(lambda: self._frames_here or (self._free and not self._waiting))
            worker = self._free.pop() if self._free and not self._waiting else None
            self._frames_here -= worker is None
        try:
            return worker.find(frame, find) if worker else find(frame)
        finally:
            with self._changed:
                self._frames_here += worker is None
                self._free += [worker] if worker else []
                self._changed.notify_all()

    def _start(self, wanted: int, *, reads: bool = True) -> None:
        with self._starting, suppress(OSError):  # without them the job is slower
            while len(self._started) < min(wanted, self._most):
                worker = Worker(self._recipe, reads=reads)
                self._started.append(worker)
                Thread(target=self._give_when_ready, args=(worker,), daemon=True).start()

    def _give_when_ready(self, worker: Worker) -> None:
        if worker.is_ready():
            for _ in range(FILES_AT_ONCE):
                self.give(worker)


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
