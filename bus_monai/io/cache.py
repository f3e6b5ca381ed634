"""The folder of what can be made again: phantoms, graphs, environments."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``BUS_MONAI_CACHE``, else ``bus_monai`` below ``XDG_CACHE_HOME``, else ``~/.cache/bus_monai``."""
    return Path(
        os.environ.get("BUS_MONAI_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bus_monai"
    )
