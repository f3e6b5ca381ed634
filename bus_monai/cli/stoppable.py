"""Commands that Ctrl-C stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def stoppable(how: str = "run the command again") -> Iterator[None]:
    """Decorate a command: on Ctrl-C it says how to go on, and ends with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"Stopped: {how}.")
        raise typer.Exit(130) from None
