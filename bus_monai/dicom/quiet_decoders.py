"""Silence what decoders say of a file. Needs no pydicom, so that segmenting a picture starts without."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

DECODERS = ("pydicom", "highdicom", "nibabel.global", "PIL")
"""Loggers that quote what they decode."""


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence what decoders say of a file's values, which may be a patient's name."""
    loggers = [logging.getLogger(name) for name in DECODERS]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled
