"""``bus-monai bundles``."""

from __future__ import annotations

from bus_monai.registry import list_bundles


def bundles() -> None:
    """List the bundles: name, version, what each is for, where it lies, whether it has weights."""
    for info in list_bundles():
        weights = f"weights: {info.weights.name}" if info.weights else "no weights: train it, or give your own"
        print(f"{info.name}  {info.version}\n    {info.description}\n    {info.root}\n    {weights}")
