"""A folder of images with masks, the layout in which people keep their own data."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from bus_monai.data.case import Case
from bus_monai.data.near_duplicates import with_groups
from bus_monai.data.readers.folder import case_id, raster_files, require_folder, require_pairs
from bus_monai.errors import UserError

_MASK = re.compile(r"(?P<stem>.+)_mask(_\d+)?")


def is_plain_folder(folder: Path) -> bool:
    """Whether ``folder`` has ``images/`` and ``masks/``, or masks named ``*_mask.png`` or ``*_mask_1.png`` in it."""
    return _has_folders(folder) or any(_MASK.fullmatch(path.stem) for path in raster_files(folder))


def read_plain_folder(folder: str | Path) -> list[Case]:
    """Read ``images/X.png`` with ``masks/X.png``, or ``X.png`` with ``X_mask.png`` beside it; JPEG is fine as well.

    An image with several lesions has further masks ``X_mask_1.png``, ``X_mask_2.png``, ..., in either layout; one
    without lesion needs a black mask. Diagnoses are unknown; groups hold near-duplicates.

    Raises:
        UserError: the folder has neither layout, images or masks lack their partner, or two names give the same id.
    """
    folder = require_folder(folder)
    if not is_plain_folder(folder):
        raise UserError(
            f"'{folder}' has no images with masks: give images/ and masks/ with files of the same names, or X.png and "
            "X_mask.png side by side."
        )
    apart = _has_folders(folder)
    files = raster_files(folder / "images" if apart else folder)
    ids = _by_id([path for path in files if apart or not _MASK.fullmatch(path.stem)])
    stems = {path.stem: path for path in ids.values()}
    masks: dict[str, list[Path]] = defaultdict(list)
    for path in raster_files(folder / "masks") if apart else files:
        match = _MASK.fullmatch(path.stem)
        if apart and (match is None or path.stem in stems):
            masks[path.stem].append(path)
        elif match:
            masks[match["stem"]].append(path)
    require_pairs(stems, {stem: paths[0] for stem, paths in masks.items()}, folder)
    return with_groups([Case(id, i, tuple(masks[i.stem]), "", "unknown") for id, i in ids.items()])


def _has_folders(folder: Path) -> bool:
    return bool(raster_files(folder / "images")) and (folder / "masks").is_dir()


def _by_id(images: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in images:
        other = found.setdefault(case_id(path.stem), path)
        if other != path:
            raise UserError(f"'{other}' and '{path.name}' would both have the id '{case_id(path.stem)}': rename one.")
    return found
