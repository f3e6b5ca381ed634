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
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import IO, Protocol, TypeAlias

from bus_monai.bundle.process import prepare_to_segment
from bus_monai.errors import UserError
from bus_monai.inference.manifest import Entry, Outcome
from bus_monai.inference.segment_file import LargeFrameError, SegmentFile
from bus_monai.inference.segment_frames import FRAMES_AHEAD, FRAMES_HERE, Find, FoundFrame, Frame
from bus_monai.io.opened import quiet_decoders
from bus_monai.sources.readers import widen

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
MAX_TRIES = 3
"""Processes that may die of a file before it counts as broken."""
ENDED = f"ended the process that segmented it {MAX_TRIES} times"
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
        processes = self.processes if segment.predictor.backend.startswith("openvino") else 1
        # one more than processes: while one of the files of this process is computed, the next is decoded
        threads, here = (processes + 1, 2) if processes > 1 else (WORKER_THREADS, WORKER_THREADS)
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

        with _Workers(segment, processes - 1, here) as workers, ThreadPoolExecutor(threads, "segment") as pool:
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

    A file waits for what is free. A frame of a cine, which this process reads, takes another process for itself alone,
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
        self._free: list[Worker] = []
        self._waiting = self._files = self._weight = 0
        self._starting = Lock()
        self._started: list[Worker] = []
        self._frames_here = FRAMES_HERE
        # kept through the job: with a thread ends the process that it started; alone, none waits for another's turn
        self._alone = ThreadPoolExecutor(FRAMES_HERE, thread_name_prefix="frames")
        self._threads = ThreadPoolExecutor(most + FRAMES_HERE, thread_name_prefix="frames")

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


class Worker:
    """Segment files in another process, one at a time, as ``segment`` does it in this one.

    The other process reads the files in a third, under the same limits, and computes in one thread. What it may not
    have in memory beside others, a frame of many million pixels, is segmented here.

    Args:
        segment: what it is made like.
        reads: begin with the process that reads for it, which frames need not.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, segment: SegmentFile, *, reads: bool = True) -> None:
        self._here = segment
        self._recipe = pickle.dumps((segment, reads))
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
        try:
            answer = self._answer((path, name))
        except EOFError:
            return Outcome("failed", f"'{path}' {ENDED}.")
        if answer is None or isinstance(answer, LargeFrameError):
            return self._here(path, name)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Outcome)
        return answer

    def find(self, frame: Frame, here: Find) -> FoundFrame:
        """Find the lesions of one frame, in this process where the other one cannot.

        Raises:
            UserError: it ended the process :data:`MAX_TRIES` times.
        """
        try:
            answer = self._answer(frame)
        except EOFError:
            raise UserError(f"Frame {frame.image.frame}, counted from 0, {ENDED}.") from None
        return answer if isinstance(answer, FoundFrame) else here(frame)

    def _answer(self, request: object) -> object:
        """Return what it answers, or ``None`` where it has died and no other one can be started in its place.

        Raises:
            EOFError: several have died of it.
        """
        packed = pickle.dumps(request)
        for _ in range(MAX_TRIES):
            with suppress(EOFError, OSError):
                return self._ask(packed)
            if not self._replace():
                return None
        raise EOFError

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
        widen(self._popen.stdin)
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
        made, reads = pickle.load(asked)  # noqa: S301 (the process that started this one wrote it)
        with made.readers if reads else closing(made.readers):
            segment = replace(made, takes_large_frames=False)
            _tell(answers, True)
            while True:
                _tell(answers, _answer(segment, pickle.load(asked)))  # noqa: S301


def _answer(segment: SegmentFile, request: Frame | tuple[Path, str]) -> object:
    if isinstance(request, Frame):
        with suppress(Exception):  # of a library; the process that asks tries it too, and says what is wrong
            return segment.find(request)
        return None
    try:
        return segment(*request)
    except (LargeFrameError, UserError) as error:
        return error


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
