"""What an executor is, and that of one machine with its processes, each of which has a model of its own."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import LifoQueue
from threading import Condition, Thread
from typing import IO, Protocol, TypeAlias

from bus_monai.bundle.process import prepare_to_segment
from bus_monai.errors import UserError
from bus_monai.inference.manifest import Entry, Outcome
from bus_monai.inference.segment_file import LargeFrameError, SegmentFile
from bus_monai.io.opened import quiet_decoders

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
SegmentOne: TypeAlias = Callable[[Path, str], Outcome]
MAX_TRIES = 3
"""Processes that may die of a file before it counts as broken."""
PR_SET_PDEATHSIG = 1
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from bus_monai.inference.executors.local import serve; serve()"


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
        # one more than processes: while one of the files of this process is computed, the next is decoded
        threads = self.processes + 1 if several else WORKER_THREADS
        most_ahead = MAX_FILES_AHEAD * self.processes if several else MAX_FILES_AHEAD
        pending: deque[tuple[Task, Future[Outcome]]] = deque()
        # both apart from ``pending`` and the pool, since an interruption may come between any two steps of this thread,
        # and while the pool starts one of its own
        running: set[str] = set()
        done: dict[str, tuple[Task, Outcome]] = {}
        changed = Condition()
        free: LifoQueue[SegmentOne] = LifoQueue()
        for _ in range(2 if several else WORKER_THREADS):
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


class Worker:
    """Segment files in another process, one at a time, as ``segment`` does it in this one.

    The other process reads the files in a third, under the same limits, and computes in one thread. What it may not
    have in memory beside others, a frame of many million pixels, is segmented here.

    Args:
        segment: what it is made like.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, segment: SegmentFile) -> None:
        self._here = segment
        self._recipe = pickle.dumps(segment)
        self._start()

    def is_ready(self) -> bool:
        """Wait until it has loaded its model; return whether it could."""
        try:
            self._ask(self._recipe)
        except (EOFError, OSError):
            return False
        return True

    def __call__(self, path: Path, name: str) -> Outcome:
        """Segment a file, see :class:`~bus_monai.inference.segment_file.SegmentFile`.

        Raises:
            OutputError: nothing more can be written.
            NoReaderError: nothing more can be read.
        """
        for _ in range(MAX_TRIES):
            try:
                answer = self._ask(pickle.dumps((path, name)))
            except (EOFError, OSError):
                if self._replace():
                    continue
                return self._here(path, name)
            if isinstance(answer, LargeFrameError):
                return self._here(path, name)
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, Outcome)
            return answer
        return Outcome("failed", f"'{path}' ended the process that segmented it {MAX_TRIES} times.")

    def close(self) -> None:
        """End it at once, and so the process that reads for it."""
        self._popen.kill()
        self._popen.wait()

    def _replace(self) -> bool:
        """Start another one in the place of one that has died; return whether that could be done."""
        self._popen.kill()
        self._popen.wait()
        try:
            self._start()
        except OSError:
            return False
        return self.is_ready()

    def _start(self) -> None:
        # in a session of its own no Ctrl-C reaches it: what was begun is finished
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _BOOT, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._requests: IO[bytes] = self._popen.stdin
        self._answers: IO[bytes] = self._popen.stdout

    def _ask(self, request: bytes) -> object:
        self._requests.write(request)
        self._requests.flush()
        try:
            return pickle.load(self._answers)  # noqa: S301 (this package's own process wrote it)
        except pickle.UnpicklingError as error:  # it died amid the answer
            raise EOFError from error


def serve() -> None:
    """Segment what standard input asks for, until it ends with the process that asks."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    end_with_parent()
    prepare_to_segment()
    with os.fdopen(os.dup(1), "wb") as answers, quiet_decoders(), suppress(EOFError, BrokenPipeError):
        # what a library prints is no answer, and may quote the file
        nothing = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nothing, number)
        asked = sys.stdin.buffer
        made: SegmentFile = pickle.load(asked)  # noqa: S301 (the process that started this one wrote it)
        with made.readers:
            segment = replace(made, takes_large_frames=False)
            _tell(answers, True)
            while True:
                path, name = pickle.load(asked)  # noqa: S301
                try:
                    _tell(answers, segment(path, name))
                except (LargeFrameError, UserError) as error:
                    _tell(answers, error)


def _tell(answers: IO[bytes], what: object) -> None:
    pickle.dump(what, answers)
    answers.flush()


def end_with_parent() -> None:
    """Let this process be killed when the one that started it is, where the system can: a job that is started again
    must not meet one that still writes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            sys.exit()
