"""The public face of each package: what ``__all__`` names is there, and nothing is loaded before it is asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import bus_monai

ROOT = Path(bus_monai.__file__).parent
PACKAGES = sorted(".".join(("bus_monai", *path.parent.relative_to(ROOT).parts)) for path in ROOT.rglob("__init__.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_are_there(package: str) -> None:
    module = import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert not isinstance(getattr(module, name), ModuleType), f"{name} is a module, which hides what it names"


def test_the_packages_are_loaded_lazily() -> None:
    code = f"import sys; [__import__(name) for name in {PACKAGES}]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "monai", "numpy", "pydicom"} & set(loaded)
