"""Waiting for other threads, processes and browsers, for as long as a busy machine may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 600
"""Seconds; what takes one of a machine at rest may take many where others use it."""


def wait_until(condition: Callable[[], object], failed: Callable[[], object] = lambda: "it does not come") -> None:
    """Wait until a condition holds.

    Args:
        condition: asked for again and again, less often the longer it takes.
        failed: tells of what has not come.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < PATIENCE_S, failed()
        time.sleep(min(0.005 + waited / 50, 0.5))


def is_running(process: int) -> bool:
    """Tell whether there is a process of a number, which on Linux may be listed a moment after its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
