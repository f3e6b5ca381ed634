"""The side of :mod:`bus_monai.inference.executors.worker` that segments."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from contextlib import suppress
from dataclasses import replace

from bus_monai.dicom.quiet_decoders import quiet_decoders
from bus_monai.errors import UserError
from bus_monai.inference.segment_file import LargeFrameError, SegmentFile
from bus_monai.trainers.memory import share_one_heap

PR_SET_PDEATHSIG = 1


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


def _tell(answers: object, what: object) -> None:
    pickle.dump(what, answers)  # type: ignore[arg-type]
    answers.flush()  # type: ignore[attr-defined]


def end_with_parent() -> None:
    """Let this process be killed when the one that started it is, where the system can: a job that is started again
    must not meet one that still writes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            sys.exit()
