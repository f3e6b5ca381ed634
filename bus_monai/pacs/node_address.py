"""Where a DICOM node is and what it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from bus_monai.errors import UserError

# PS3.5 6.2, VR AE: up to 16 printable characters of ASCII without backslash, no blanks around them
_TITLE = re.compile(r"(?! )[ -\[\]-~]{1,16}(?<! )")
_ADDRESS = re.compile(r"(?P<title>.*)@(?P<host>[^@\s]+):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class NodeAddress:
    """A DICOM node.

    Args:
        title: its AE title.
        host: its name or number; of IPv6 without brackets.
        port: 1 to 65535.
    """

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> NodeAddress:
        """Read ``AET@HOST:PORT``.

        Raises:
            UserError: it is none.
        """
        found = _ADDRESS.fullmatch(text)
        if not found or not 0 < int(found["port"]) < 65536:
            raise UserError(f"--send-to is '{text}': write AET@HOST:PORT, such as ORTHANC@pacs.local:4242.")
        return cls(check_title(found["title"], "--send-to"), found["host"].strip("[]"), int(found["port"]))

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


def check_title(title: str, option: str) -> str:
    """Return an AE title as it is.

    Raises:
        UserError: it is none.
    """
    if not _TITLE.fullmatch(title):
        raise UserError(f"{option} names the AE title '{title}': use 1 to 16 characters of ASCII without backslash.")
    return title


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, seen from itself alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
