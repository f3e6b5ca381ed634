"""BUSI as published (Al-Dhabyani et al., Data in Brief 28, 2020, doi 10.1016/j.dib.2019.104863)."""

from __future__ import annotations

import re
from pathlib import Path

from bus_monai.data.case import DIAGNOSES, Case
from bus_monai.data.near_duplicates import KNOWN_DUPLICATES_FILE, with_groups
from bus_monai.data.readers.folder import require_folder, require_pairs
from bus_monai.errors import UserError

_IMAGE = re.compile(r"^(?P<name>\w+ \(\d+\))\.png$")


def is_busi(folder: Path) -> bool:
    """Whether ``folder`` looks like BUSI: it has a folder for a class with images named as published."""
    return any(_IMAGE.match(path.name) for name in DIAGNOSES for path in (folder / name).glob(f"{name} (*).png"))


def read_busi(folder: str | Path) -> list[Case]:
    """Read the folder as published: ``<class>/<class> (n).png`` with ``_mask.png``, ``_mask_1.png``, ...

    Gaps in the numbering are normal; a normal image may lack its empty mask. Groups hold equal files and
    near-duplicates, within and across classes.

    Raises:
        UserError: the folder is not BUSI, an image with a lesion has no mask, or a mask no image.
    """
    folder = require_folder(folder)
    if not is_busi(folder):
        raise UserError(f"'{folder}' is no BUSI folder: it must hold benign/, malignant/ and normal/ as published.")
    for diagnosis in DIAGNOSES:
        masks = sorted((folder / diagnosis).glob(f"{diagnosis} (*)_mask*.png"))
        stray = {
            mask.name: mask for mask in masks if not mask.with_name(f"{mask.stem.split('_mask')[0]}.png").is_file()
        }
        require_pairs({}, stray, folder / diagnosis)
    cases = []
    for diagnosis in DIAGNOSES:
        # by the class's own name, since an image of another class here would share its id with one of this
        images = [path for path in (folder / diagnosis).glob(f"{diagnosis} (*).png") if _IMAGE.match(path.name)]
        for image in sorted(images, key=_number):
            own = tuple(sorted(image.parent.glob(f"{image.stem}_mask*.png")))
            if not own and diagnosis != "normal":
                raise UserError(
                    f"The {diagnosis} image '{image}' has no mask '{image.stem}_mask.png': add it or remove the image."
                )
            cases.append(Case(f"{diagnosis}_{_number(image)}", image, own, "", diagnosis))
    return with_groups(cases, folder / KNOWN_DUPLICATES_FILE)


def _number(image: Path) -> int:
    return int(image.stem[image.stem.index("(") + 1 : -1])
