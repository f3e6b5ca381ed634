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
    "openvino": "openvino",
    "ray": "ray",
}
"""The extra that brings each package, by the name that it is imported by."""


def need_package(name: str) -> None:
    """Check that a package of :data:`EXTRAS` is installed.

    Raises:
        UserError: it is not.
    """
    if find_spec(name) is None:
        raise UserError(f"The package '{name}' is not installed: run \"pip install 'bus-monai[{EXTRAS[name]}]'\".")
