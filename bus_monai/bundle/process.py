"""What a command that trains, evaluates or segments does to its process."""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

from bus_monai.errors import as_user_error
from bus_monai.trainers.base import join_processes
from bus_monai.trainers.memory import keep_freed_memory


def prepare_process(*, keep_memory: bool = False, distributed: bool = False) -> None:
    """Prepare this process for the config that it runs: all that a config does to it, in one call.

    User errors end the command ``python -m monai.bundle`` in one line below the traceback; a program that runs a config
    itself keeps its own way.

    Args:
        keep_memory: see :func:`~bus_monai.trainers.memory.keep_freed_memory`.
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
        join_processes()


def _one_line_at_the_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback, and below it the sentence that the user can act on."""
    traceback.print_exception(kind, error, trace)
    sentence = as_user_error(error)
    if sentence is not None:
        print(f"\nbus_monai: {sentence}", file=sys.stderr)
