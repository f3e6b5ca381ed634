"""One process of Ray that segments files."""

from __future__ import annotations

import os
import pickle
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_monai.errors import UserError, user_error
from bus_monai.inference.manifest import FILE, Outcome
from bus_monai.inference.model_key import model_key
from bus_monai.inference.quiet_decoders import quiet_decoders
from bus_monai.inference.segment_file import SegmentFile

MOST_TRIES = 3
"""Workers that may die of a file before it counts as broken."""


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to be the same as the process that started the job.

    Args:
        segment: the pickled :class:`~bus_monai.inference.segment_file.SegmentFile`; unpickled, it loads its model.
        out: folder of all outputs.
        key: of its model, see :func:`~bus_monai.inference.model_key.model_key`.
        folder: that relative paths start from.
    """

    segment: bytes
    out: Path
    key: str
    folder: Path


class RayWorker:
    """Segment files in batches, with one model.

    Args:
        recipe: of the function that segments one.
        turnstile: handle of the actor that is a :class:`~bus_monai.inference.engines.turnstile.Turnstile`.
    """

    def __init__(self, recipe: Recipe, turnstile: Any) -> None:
        self._turnstile = turnstile
        self._error: UserError | None = None
        # where the folder is missing here no path starts from it, or the check of the results' folder says so
        with suppress(OSError):
            os.chdir(recipe.folder)
        try:
            self._segment = _segment_file(recipe)
        except UserError as error:
            self._error = error

    def __call__(self, batch: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
        """Segment a batch.

        Args:
            batch: ``file``, each a pickled (number, path, name).

        Returns:
            ``found``, each a pickled (number, what): an outcome, the error that ends the job, or ``None`` where the
            file was not begun.
        """
        with quiet_decoders():  # Ray keeps in files what its workers print
            return {"found": [self._one(*pickle.loads(file)) for file in batch["file"]]}  # noqa: S301 (the engine wrote it)

    def _one(self, number: int, path: Path, name: str) -> bytes:
        import ray

        tries = ray.get(self._turnstile.enter.remote(number))
        what: Outcome | UserError | None
        if tries == 0:
            what = None
        elif self._error is not None:
            what = self._error
        elif tries > MOST_TRIES:
            what = Outcome("failed", f"'{path}' ended the process that segmented it {MOST_TRIES} times.")
        else:
            try:
                what = self._segment(path, name)
            except UserError as error:
                what = self._error = error
        if 0 < tries <= MOST_TRIES:  # a file given up stays inside: when its batch is done again, it is not tried again
            self._turnstile.leave.remote(number)
        return pickle.dumps((number, what))


def _segment_file(recipe: Recipe) -> SegmentFile:
    here = f"the worker on '{platform.node()}'"
    if not (recipe.out / FILE).is_file():
        raise UserError(
            f"'{recipe.out}' is not there for {here}: give an --out on storage that all machines see at the same path."
        )
    try:
        segment: SegmentFile = pickle.loads(recipe.segment)  # noqa: S301 (the engine wrote it)
        same = model_key(segment.predictor.model) == recipe.key
    except Exception as error:
        cause = user_error(error)
        if cause is None and not isinstance(error, OSError):
            raise
        raise UserError(f"The model cannot be loaded by {here}: {cause or error}") from error
    if not same:
        raise UserError(f"The model or the version of bus_monai is another for {here}: install the same everywhere.")
    return segment
