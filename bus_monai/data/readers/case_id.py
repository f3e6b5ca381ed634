"""Ids from names of any kind."""

from __future__ import annotations

import re


def case_id(stem: str) -> str:
    """Turn the stem of a file into an id: other signs than ASCII letters, digits, ``-``, ``_``, ``.`` become ``_``."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).lstrip("._-").rstrip("_")
    return name or "case"
