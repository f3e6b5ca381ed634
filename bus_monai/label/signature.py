"""Signatures of what this machine has trained: a folder of images cannot bring models that are taken for its own."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from bus_monai.errors import UserError, reading, writing

KEY_FILE = "label.key"
KEY_BYTES = 32


def sign(content: bytes) -> str:
    """Return the HMAC-SHA256 of some content under the key of this user on this machine, in hexadecimal digits.

    Raises:
        UserError: the key cannot be read, or not be made where there is none.
    """
    path = _key_path()
    if not path.exists():
        _make_key(path)
    return hmac.new(_read_key(path), content, hashlib.sha256).hexdigest()


def is_signed(content: bytes, signature: str) -> bool:
    """Tell whether :func:`sign` returned the signature of this content here.

    Raises:
        UserError: the key cannot be read, or others than its owner can.
    """
    path = _key_path()
    if not path.exists():
        return False
    expected = hmac.new(_read_key(path), content, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.strip().encode())


def _key_path() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "bus_monai" / KEY_FILE


def _make_key(path: Path) -> None:
    with writing(path, option="XDG_STATE_HOME"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent)  # readable for its owner alone
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            # whole or not there, and of two processes one wins
            with suppress(FileExistsError):
                os.link(name, path)
        finally:
            Path(name).unlink()


def _read_key(path: Path) -> bytes:
    with reading(path):
        status, key = path.stat(), path.read_bytes()
    if len(key) != KEY_BYTES or (os.name == "posix" and status.st_mode & 0o077):
        raise UserError(
            f"'{path}' is no key that its owner alone can read: remove it, and name what was trained with --bundles.",
            path=path,
        )
    return key
