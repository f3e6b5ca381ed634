"""Packages that come with an extra."""

from __future__ import annotations

from importlib.util import find_spec

from bus_monai.errors import UserError

EXTRAS = {
    "dicomweb_client": "pacs",
    "pynetdicom": "pacs",
    "nncf": "int8",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "optuna": "search",
    "ray": "ray",
    "requests": "pacs",
}
"""The extra that brings each package, by the name that it is imported by."""


def need_package(name: str) -> None:
    """Check that a package of :data:`EXTRAS` is installed.

    Raises:
        UserError: it is not.
    """
    if find_spec(name) is None:
        raise missing_package(name)


def missing_package(name: str) -> UserError:
    """Return what to say of a package of :data:`EXTRAS` that is not installed."""
    return UserError(f"The package '{name}' is not installed: run \"pip install 'bus-monai[{EXTRAS[name]}]'\".")
