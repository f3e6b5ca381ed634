"""Versions of installed packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version(package: str) -> str | None:
    """Return the version of a package by its name on PyPI, ``None`` where it is not installed; nothing is imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
