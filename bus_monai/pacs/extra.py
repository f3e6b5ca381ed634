"""The packages of the extra ``pacs``."""

from __future__ import annotations

from importlib.util import find_spec

from bus_monai.errors import UserError


def need_package(name: str) -> None:
    """Check that a package of the extra is installed.

    Raises:
        UserError: it is not.
    """
    if find_spec(name) is None:
        raise UserError(f"The package '{name}' is not installed: run \"pip install 'bus-monai[pacs]'\".")
