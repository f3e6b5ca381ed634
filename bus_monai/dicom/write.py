"""DICOM files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from bus_monai.atomic_file import atomic_file
from bus_monai.errors import UserError


def write_dicom(dataset: Dataset, path: str | Path) -> None:
    """Write beside ``path``, flush to the disk and rename, so that the file is whole at any moment.

    Raises:
        UserError: the disk is full or the folder cannot be written to; what was there before stays.
    """
    path = Path(path)
    try:
        with atomic_file(path) as partial:
            dataset.save_as(partial, enforce_file_format=True)
    except OSError as error:
        raise UserError(
            f"Cannot write '{path}' ({error.strerror}): free space, mend the permissions of its folder, or give "
            "another folder."
        ) from error
