"""Folders that can be written to."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bus_monai.errors import UserError


def check_writable(folder: str | Path) -> Path:
    """Make ``folder``, write a byte to it, and return it.

    Raises:
        UserError: it cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # a file without a name: processes that check the same folder at once do not meet
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise UserError(
            f"Cannot write to '{folder}' ({error.strerror}): free space, mend its permissions, or give another folder."
        ) from error
    return folder
