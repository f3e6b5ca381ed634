"""STU-Hospital (Zhuang et al., PLoS ONE 14, 2019, doi 10.1371/journal.pone.0221535)."""

from __future__ import annotations

from pathlib import Path

from bus_monai.data.case import Case
from bus_monai.data.near_duplicates import group_near_duplicates
from bus_monai.data.readers.folder import raster_files, require_folder, require_pairs
from bus_monai.errors import UserError

IMAGE, MASK = "Test_Image_", "mask_"


def is_stu_hospital(folder: Path) -> bool:
    """Whether ``folder``, or its ``Hospital/``, has images like ``Test_Image_1.png``."""
    return bool(_numbered(_home(folder), IMAGE))


def read_stu_hospital(folder: str | Path) -> list[Case]:
    """Read ``Test_Image_1.png`` with ``mask_1.png``, in the folder or its ``Hospital/``.

    The set names neither patients nor diagnoses: groups hold near-duplicates, every diagnosis is unknown.

    Raises:
        UserError: the folder is not STU-Hospital, or images or masks lack their partner.
    """
    folder = require_folder(folder)
    if not is_stu_hospital(folder):
        raise UserError(
            f"'{folder}' is no STU-Hospital folder: it must hold files like Test_Image_1.png and mask_1.png."
        )
    home = _home(folder)
    images, masks = _numbered(home, IMAGE), _numbered(home, MASK)
    require_pairs(images, masks, home)
    numbers = sorted(images, key=int)
    groups = group_near_duplicates([images[number] for number in numbers])
    return [
        Case(f"stu_{number}", images[number], (masks[number],), group, "unknown")
        for number, group in zip(numbers, groups, strict=True)
    ]


def _home(folder: Path) -> Path:
    return folder / "Hospital" if (folder / "Hospital").is_dir() else folder


def _numbered(folder: Path, prefix: str) -> dict[str, Path]:
    names = {path: path.stem.removeprefix(prefix) for path in raster_files(folder) if path.stem.startswith(prefix)}
    return {number: path for path, number in names.items() if number.isdecimal()}
