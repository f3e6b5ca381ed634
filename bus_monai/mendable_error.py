"""What the operating system and the installation say, as the error that a user can mend."""

from __future__ import annotations

import errno

from bus_monai.errors import UserError, user_error
from bus_monai.need_package import EXTRAS, missing_package

REMEDIES = {
    errno.ENOSPC: "free space, or give another folder",
    errno.EDQUOT: "free space, or give another folder",
    errno.EROFS: "give another folder",
    errno.EACCES: "mend its permissions, or give another path",
    errno.EPERM: "mend its permissions, or give another path",
    errno.ENOTDIR: "a part of its path is a file, so give another path",
    errno.EEXIST: "move away what is there, or give another path",
    errno.EISDIR: "give the path of a file",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EIO: "check the disk, or give another folder",
}
"""What to do about a file, where no other part of the package knows better."""

OF_THE_DISK = ("full", "readonly", "unable to open", "disk I/O")
"""What SQLite says where a disk or a folder is to blame, and not the statement."""


def mendable_error(error: BaseException | None) -> UserError | None:
    """Return what the user can do about ``error``, or ``None`` where the package is to blame.

    That is the user error among it and its causes, else what one of these says of a full disk, a path that cannot be
    written to, or the missing module of an extra.
    """
    found = user_error(error)
    while error is not None and found is None:
        found = _of_the_system(error)
        error = error.__cause__
    return found


def _of_the_system(error: BaseException) -> UserError | None:
    import sqlite3

    if isinstance(error, OSError) and error.errno in REMEDIES:
        # of a copy the second one, for it is seldom what is read
        name = error.filename2 or error.filename
        file = f"'{name}'" if name else "A file"
        return UserError(f"{file} cannot be read or written ({error.strerror}): {REMEDIES[error.errno]}.")
    if isinstance(error, sqlite3.OperationalError) and any(word in str(error) for word in OF_THE_DISK):
        return UserError(f"A database cannot be read or written ({error}): free space, or give another folder.")
    if isinstance(error, ModuleNotFoundError) and (name := (error.name or "").partition(".")[0]) in EXTRAS:
        return missing_package(name)
    return None
