"""STU-Hospital (Zhuang et al., PLoS ONE 14, 2019, doi 10.1371/journal.pone.0221535)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.case import Case
from bus_monai.data.near_duplicates import with_groups
from bus_monai.data.readers.folder import copy_image, raster_files, require_folder, require_pairs, write_masks
from bus_monai.errors import UserError
from bus_monai.io.image import read_raster

IMAGE_PREFIX, MASK_PREFIX = "Test_Image_", "mask_"


def is_stu_hospital(folder: Path) -> bool:
    """Whether ``folder``, or its ``Hospital/``, has images like ``Test_Image_1.png``."""
    return bool(_numbered(_home(folder), IMAGE_PREFIX))


def read_stu_hospital(folder: str | Path) -> list[Case]:
    """Read ``Test_Image_1.png`` with ``mask_1.png``, in the folder or its ``Hospital/``.

    The set names neither patients nor diagnoses: groups hold near-duplicates, every diagnosis is unknown. Images have
    128 x 128 pixels but most masks 400 x 400 to 512 x 512, with grays: ``write_stu_hospital_case`` makes them fit.

    Raises:
        UserError: the folder is not STU-Hospital, or images or masks lack their partner.
    """
    folder = require_folder(folder)
    if not is_stu_hospital(folder):
        raise UserError(
            f"'{folder}' is no STU-Hospital folder: it must hold files like Test_Image_1.png and mask_1.png."
        )
    home = _home(folder)
    images, masks = _numbered(home, IMAGE_PREFIX), _numbered(home, MASK_PREFIX)
    require_pairs(images, masks, home)
    return with_groups([Case(f"stu_{n}", images[n], (masks[n],), "", "unknown") for n in sorted(images, key=int)])


def write_stu_hospital_case(case: Case, out: Path) -> Case:
    """Copy the image of ``case`` into ``out`` and write its mask in the size of the image; return the case there.

    A pixel is lesion where the published mask, averaged over it, reaches half of white.
    """
    height, width = read_raster(case.image).shape
    masks = write_masks(case, out, (_scale(read_raster(mask), height, width) >= 0.5 for mask in case.masks))
    return replace(case, image=copy_image(case, out), masks=masks)


def _scale(mask: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BOX), dtype=np.float32)


def _home(folder: Path) -> Path:
    return folder / "Hospital" if (folder / "Hospital").is_dir() else folder


def _numbered(folder: Path, prefix: str) -> dict[str, Path]:
    names = {path: path.stem.removeprefix(prefix) for path in raster_files(folder) if path.stem.startswith(prefix)}
    return {number: path for path, number in names.items() if number.isdecimal()}
