"""A job that is interrupted as by Ctrl-C, at a moment when it surely is amid its files."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.inference.bright_predictor import BrightPredictor
from tests.waiting import wait_until


@contextmanager
def interrupted(predictor: BrightPredictor, once: Callable[[], object], image: int = 1) -> Iterator[None]:
    """Press Ctrl-C in the block, which it must end by, when the job is amid it on any machine.

    Args:
        predictor: of the job; each process waits at an image until the interruption is heard.
        once: tells when to press it.
        image: number of that image, from now on in each process.
    """
    go_on = Path(str(predictor.model.weights)).with_name("go on")
    over = threading.Event()

    def hear(number: int, frame: Any) -> None:
        go_on.touch()
        signal.default_int_handler(number, frame)

    def press() -> None:
        wait_until(lambda: over.is_set() or once())
        if not over.is_set():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    predictor.stop_at = predictor.images + image, go_on
    before = signal.signal(signal.SIGINT, hear)
    watching = threading.Thread(target=press)
    watching.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        over.set()
        watching.join()
        signal.signal(signal.SIGINT, before)
