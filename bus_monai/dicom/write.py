"""DICOM files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from pydicom.dataset import Dataset

from bus_monai.errors import UserError


def write_dicom(dataset: Dataset, path: str | Path) -> None:
    """Write beside ``path``, flush to the disk and rename, so that the file is whole at any moment.

    Raises:
        UserError: the disk is full or the folder cannot be written to; what was there before stays.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            dataset.save_as(file, enforce_file_format=True)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"Cannot write '{path}' ({error.strerror}): free space, mend the permissions of its folder, or give "
            "another folder."
        ) from error
