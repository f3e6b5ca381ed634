"""Unique identifiers that a repeated run makes again."""

from __future__ import annotations

import hashlib
import json
from uuid import UUID

from pydicom.uid import UID


def derived_uid(*parts: str) -> UID:
    """Return the identifier of what ``parts`` describe: same parts, same identifier.

    It is a UUID of SHA-256 below the root ``2.25``, DICOM PS3.5 B.2.
    """
    # JSON keeps ("a", "b") and ("ab",) apart
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return UID(f"2.25.{UUID(bytes=digest[:16], version=5).int}")
