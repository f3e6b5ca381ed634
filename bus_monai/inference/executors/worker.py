"""A process that segments files, with a model of its own, for the engine of one machine."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

from bus_monai.inference.manifest import Outcome
from bus_monai.inference.segment_file import LargeFrameError, SegmentFile

SegmentOne: TypeAlias = Callable[[Path, str], Outcome]
MAX_TRIES = 3
"""Processes that may die of a file before it counts as broken."""
_BOOT = (
    "import sys; sys.path[:] = sys.argv[1:]; from bus_monai.inference.executors.worker_process import serve; serve()"
)


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
