"""Folders that are there complete or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(folder: Path, *, last: str) -> Iterator[Path]:
    """Yield an empty folder to fill, which becomes ``folder`` at the end.

    Everything is written beside ``folder`` and renamed at the end: an interrupted call leaves nothing behind, and of
    two processes that write the same folder one wins.

    Args:
        folder: must not exist yet, or be left whole by the winner of two.
        last: file without which a folder is not whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    private = private_folder_beside(folder)
    # a folder within: it bears its final name, and unlike the private one others may read it
    partial = private / folder.name
    try:
        partial.mkdir()
        yield partial
        try:
            partial.replace(folder)
        except OSError:
            if not (folder / last).is_file():
                raise
    finally:
        shutil.rmtree(private, ignore_errors=True)


def private_folder_beside(folder: Path) -> Path:
    """Make a folder of a new name in the parent of ``folder``, for this process alone."""
    return Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
