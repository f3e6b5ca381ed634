"""What made an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from bus_monai import __version__


class Equipment(TypedDict):
    """The arguments of highdicom for the equipment module, DICOM PS3.3 C.7.5.2."""

    manufacturer: str
    manufacturer_model_name: str
    software_versions: str
    device_serial_number: str


@dataclass(frozen=True)
class Algorithm:
    """The model behind a result, as objects name it.

    Args:
        name: of the model, at most 64 characters.
        version: of the model, at most 64 characters.
        weights_hash: SHA-256 of its weights in hexadecimal digits, or the first of them.
    """

    name: str
    version: str
    weights_hash: str

    @property
    def equipment(self) -> Equipment:
        """The model as a device: its weights are the serial number."""
        return {
            "manufacturer": "bus_monai",
            "manufacturer_model_name": self.name,
            "software_versions": f"{self.version}, bus_monai {__version__}",
            "device_serial_number": self.weights_hash,
        }

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.weights_hash}"
