"""``bus-monai bundles``."""

from __future__ import annotations

from bus_monai.registry import list_bundles


def bundles() -> None:
    """List the bundles: name, version, what each is for, where it lies."""
    for info in list_bundles():
        print(f"{info.name}  {info.version}\n    {info.description}\n    {info.root}")
