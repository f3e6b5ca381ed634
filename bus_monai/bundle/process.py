"""What a command that trains, evaluates or segments does to its process. Importing it imports no PyTorch."""

from __future__ import annotations

import ctypes
import logging
import platform
import sys
import traceback
from types import TracebackType

from bus_monai.errors import as_user_error

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
"""Names of ``mallopt(3)``."""
NEVER = 2**31 - 1


def prepare_process(*, keep_memory: bool = False, distributed: bool = False) -> None:
    """Prepare this process for the config that it runs: all that a config does to it, in one call.

    User errors end the command ``python -m monai.bundle`` in one line below the traceback; a program that runs a config
    itself keeps its own way.

    Args:
        keep_memory: see :func:`keep_freed_memory`.
        distributed: join the processes that ``torchrun`` started.

    Raises:
        UserError: ``distributed`` without ``torchrun``.
    """
    # its lines repeat whatever ends a run, which is told in the end
    logging.getLogger("ignite.engine.engine").setLevel(logging.CRITICAL)
    program = getattr(sys.modules["__main__"], "__spec__", None)
    if program is not None and program.name == "monai.bundle.__main__":
        sys.excepthook = _one_line_at_the_end
    if keep_memory:
        keep_freed_memory()
    if distributed:
        from bus_monai.trainers.base import join_processes

        join_processes()


def _one_line_at_the_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback, and below it the sentence that the user can act on."""
    traceback.print_exception(kind, error, trace)
    sentence = as_user_error(error)
    if sentence is not None:
        print(f"\nbus_monai: {sentence}", file=sys.stderr)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed instead of giving it back to the system.

    Each step of training frees the same hundreds of megabytes and asks for them again; by default the kernel takes
    them back and hands out pages that it must clear first. Keeping them made a training step of RDAU-NET 1.4 times as
    fast on two cores, for 15 % more memory. Does nothing on systems without glibc.
    """
    _set_allocator(M_MMAP_MAX, 0)
    _set_allocator(M_TRIM_THRESHOLD, NEVER)


def prepare_to_segment() -> None:
    """Let all threads take memory from one heap, as those do that begin after this call, and OpenCV start none.

    By default each thread frees into a heap of its own, where what others free is of no use to it: a job over a
    thousand images went on growing. Does nothing of this on systems without glibc. OpenCV would wake a thread for each
    core to number the pixels of one lesion.
    """
    import cv2

    _set_allocator(M_ARENA_MAX, 1)
    cv2.setNumThreads(1)


def _set_allocator(name: int, value: int) -> None:
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(name, value)
