"""What both sides of an encrypted association know of each other."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from bus_monai.errors import UserError


@dataclass(frozen=True)
class TlsFiles:
    """Files in PEM.

    Args:
        certificate: our own, with those between it and its authority.
        key: of the certificate, without a password.
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
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")
            if self.authority:
                context.load_verify_locations(self.authority)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"TLS cannot start ({reason}): give PEM files as --tls-cert, --tls-key (without a password) and "
                "--tls-ca."
            ) from error
