"""Addresses of DICOM nodes (``AET@HOST:PORT``), and their TLS files."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from bus_monai.errors import UserError

# PS3.5 6.2, VR AE: up to 16 printable characters of ASCII without backslash, no blanks around them
_TITLE = re.compile(r"(?! )[ -\[\]-~]{1,16}(?<! )")
KEY_PASSWORD_VARIABLE = "BUS_MONAI_TLS_KEY_PASSWORD"  # noqa: S105 (a name, no secret)
"""The environment variable with the password of the key; options are seen by all users of a machine."""
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


@dataclass(frozen=True)
class TlsFiles:
    """Files in PEM; the key's password, if it has one, is in the environment variable ``KEY_PASSWORD_VARIABLE``.

    Args:
        certificate: our own, with those between it and its authority.
        key: of the certificate.
        authority: whose certificates others must show; without it callers need none, and destinations one that this
            machine trusts.
    """

    certificate: Path
    key: Path
    authority: Path | None = None

    def server_context(self) -> ssl.SSLContext:
        """Return what callers are met with: TLS 1.2 or later, mutual where there is an authority.

        Raises:
            UserError: a file is missing or no such file.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._load(context)
        if self.authority:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return what destinations are met with: their certificate and its host name are checked.

        Raises:
            UserError: a file is missing or no such file.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._load(context)
        if not self.authority:
            context.load_default_certs()
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # without a password OpenSSL would ask for one at the terminal
            password = os.environ.get(KEY_PASSWORD_VARIABLE, "")
            context.load_cert_chain(self.certificate, self.key, password=lambda: password)
            if self.authority:
                context.load_verify_locations(self.authority)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"TLS cannot start ({reason}): give PEM files as --tls-cert, --tls-key (its password, if "
                f"any, as {KEY_PASSWORD_VARIABLE}) and --tls-ca."
            ) from error
