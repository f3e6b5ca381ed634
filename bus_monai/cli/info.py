"""``bus-monai info``."""

from __future__ import annotations

import platform

from bus_monai import __version__
from bus_monai.bundle.registry import installed_version, list_bundles

BACKEND_PACKAGES = ("openvino", "onnxruntime", "torch")
"""The packages that can run a network."""


def info() -> None:
    """Tell what is installed, and list the bundles: what each is for, where it lies, whether it has weights."""
    print(f"bus-monai {__version__}, Python {platform.python_version()}")
    backends = (f"{name} {installed_version(name) or '(not installed)'}" for name in BACKEND_PACKAGES)
    print(f"runs networks with {', '.join(backends)}\n")
    for bundle in list_bundles():
        weights = f"weights: {bundle.weights.name}" if bundle.weights else "no weights: train it, or give your own"
        print(f"{bundle.name}  {bundle.version}\n    {bundle.description}\n    {bundle.root}\n    {weights}")
