"""Processes that read files, kept from one job for the next: to start one takes longer than most jobs of a test."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import pytest

from bus_monai.sources import readers


class KeptProcess(readers._Process):
    """Knows where it was started, and whether it owes an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.surroundings = surroundings()
        self.owes_answer = False

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.owes_answer = True
        try:
            answer = super().ask(request)
        except readers.UnreadableError:
            self.owes_answer = False
            raise
        self.owes_answer = False
        return answer

    @property
    def can_be_kept(self) -> bool:
        return self.is_free and not self.owes_answer

    def end(self) -> None:
        """Let it end by itself where it waits, since a process that is killed cannot say which lines it ran."""
        if self.can_be_kept:
            self._requests.close()
            self._popen.wait()
        else:
            self.kill()


def surroundings() -> object:
    """Return what a process takes over where it is started."""
    # pytest's variable is another one for each test
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return Path.cwd(), variables, readers._BOOT, list(sys.path)


@contextmanager
def kept_readers() -> Iterator[None]:
    """Let jobs that end in the block hand their processes on, to those that would start them in the same way."""
    kept: list[KeptProcess] = []
    # jobs may run in several threads, and a pool ends wherever it is found to be garbage
    turn = RLock()

    def start() -> KeptProcess:
        here = surroundings()
        with turn:
            for process in kept.copy():
                if process.surroundings == here and process in kept:
                    kept.remove(process)
                    if process.can_be_kept:
                        return process
        return KeptProcess()

    def end(processes: set[KeptProcess]) -> None:
        with turn:
            for process in list(processes):
                kept.insert(0, process)
            processes.clear()
            for process in [one for one in kept if not one.can_be_kept] + kept[readers.MAX_PROCESSES :]:
                process.end()
            kept[:] = [one for one in kept if one.can_be_kept]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "_Process", start)
        patch.setattr(readers, "_kill_all", end)
        yield
    for process in kept:
        process.end()
