"""Another process that segments files, and frames of a cine: this side of it, and its own."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Event, Lock, Thread
from typing import IO

from bus_monai.bundle.process import prepare_to_segment
from bus_monai.errors import UserError
from bus_monai.inference.manifest import Outcome
from bus_monai.inference.segment_file import LargeFrameError, SegmentFile
from bus_monai.inference.segment_frames import Find, FoundFrame, Frame
from bus_monai.io.opened import quiet_decoders
from bus_monai.sources.readers import widen

FILES_AT_ONCE = 2
"""That a process segments beside other processes: while one is in the network, the next is read or the last written."""
MAX_TRIES = 3
"""Processes that may die of a file before it counts as broken."""
ENDED = f"ended the process that segmented it {MAX_TRIES} times"
PR_SET_PDEATHSIG = 1
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from bus_monai.inference.executors.worker import serve; serve()"


class Worker:
    """Segment files in another process, as ``segment`` does it in this one, for :data:`FILES_AT_ONCE` threads.

    The other process reads the files in a third, under the same limits, and its network computes in one thread. What it
    may not have in memory beside others, a frame of many million pixels, is segmented here.

    Args:
        segment: what it is made like.
        reads: begin with the process that reads for it, which frames need not.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, segment: SegmentFile, *, reads: bool = True) -> None:
        self._here = segment
        self._recipe = pickle.dumps((segment, reads))
        self._changed = Condition()
        self._asked, self._is_alone, self._is_dead = 0, False, False
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
        for turn in range(MAX_TRIES):
            # it may have died of another file, which then is not asked for at once with this one again
            with self._turn(alone=turn > 0):
                if self._is_dead and not self._replace():
                    return None
                with suppress(EOFError, OSError):
                    return self._ask(packed)
                self._is_dead = True
        raise EOFError

    @contextmanager
    def _turn(self, *, alone: bool) -> Iterator[None]:
        """Wait until it may be asked, alone also where it is to be started anew."""
        with self._changed:
            self._changed.wait_for(lambda: not self._asked or not (alone or self._is_alone or self._is_dead))
            self._is_alone = alone or self._is_dead
            self._asked += 1
        try:
            yield
        finally:
            with self._changed:
                self._asked -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """End it at once, and so the process that reads for it."""
        self._popen.kill()
        self._popen.wait()

    def _replace(self) -> bool:
        """Start another one in the place of one that has died; return whether that could be done."""
        self._popen.kill()
        self._popen.wait()
        with suppress(OSError):
            self._start()
            return self.is_ready()
        return False

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
        self._asking, self._answered = Lock(), Event()
        self._answered.set()
        self._is_dead = False

    def _ask(self, request: bytes) -> object:
        with self._asking:
            self._requests.write(request)
            self._requests.flush()
            before, answered = self._answered, Event()
            self._answered = answered
        before.wait()  # answers come in the order of the requests
        try:
            return pickle.load(self._answers)  # noqa: S301 (this package's own process wrote it)
        except pickle.UnpicklingError as error:  # it died amid the answer
            raise EOFError from error
        finally:
            answered.set()


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
        begun: SimpleQueue[Future[object] | None] = SimpleQueue()
        with made.readers if reads else closing(made.readers), ThreadPoolExecutor(FILES_AT_ONCE, "segment") as pool:
            segment = replace(made, takes_large_frames=False)
            _tell(answers, True)

            def begin() -> None:
                with suppress(EOFError):
                    while True:
                        begun.put(pool.submit(_answer, segment, pickle.load(asked)))  # noqa: S301
                begun.put(None)

            Thread(target=begin, daemon=True).start()
            for one in iter(begun.get, None):
                _tell(answers, one.result())


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
