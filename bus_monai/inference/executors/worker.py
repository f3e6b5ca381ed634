"""A process that segments files, with a model of its own, for the executor of one machine."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeAlias

from bus_monai.bundle.process import share_one_heap
from bus_monai.errors import UserError
from bus_monai.inference.manifest import Outcome
from bus_monai.inference.segment_file import LargeFrameError, SegmentFile
from bus_monai.io.opened import quiet_decoders

SegmentOne: TypeAlias = Callable[[Path, str], Outcome]
MAX_TRIES = 3
"""Processes that may die of a file before it counts as broken."""
PR_SET_PDEATHSIG = 1
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from bus_monai.inference.executors.worker import serve; serve()"


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
    share_one_heap()
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
