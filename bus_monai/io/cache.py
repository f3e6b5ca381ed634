"""The cache folder, and data sets that are generated once into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bus_monai.data.datalist import read_datalist
from bus_monai.errors import UserError, writing
from bus_monai.io.atomic import private_folder_beside


def cache_folder() -> Path:
    """Return ``BUS_MONAI_CACHE``, else ``bus_monai`` below ``XDG_CACHE_HOME``, else ``~/.cache/bus_monai``."""
    return Path(
        os.environ.get("BUS_MONAI_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bus_monai"
    )


def cached_dataset(name: str, write: Callable[[Path], object]) -> Path:
    """Return the folder ``name`` in the cache, a data set that ``write`` makes where it is not there.

    A set of which a file was removed is made anew.

    Raises:
        UserError: the cache folder cannot be written to.
    """
    folder = cache_folder() / name
    if not _is_complete(folder):
        with writing(folder, option="BUS_MONAI_CACHE"):
            _discard(folder)
            write(folder)
    return folder


def _is_complete(folder: Path) -> bool:
    try:
        read_datalist(folder)
    except UserError:
        return False
    return True


def _discard(folder: Path) -> None:
    """Remove ``folder`` at once for all other processes, unless one of them has completed it meanwhile."""
    if folder.exists() and not _is_complete(folder):
        private = private_folder_beside(folder)
        try:
            folder.replace(private / folder.name)
        except FileNotFoundError:
            pass  # another process was faster
        finally:
            shutil.rmtree(private, ignore_errors=True)
