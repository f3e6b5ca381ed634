"""Readers of people's own images: a folder of images with masks, and MONAI's datalist of image files."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from bus_monai.data.datalist import Case, posix_path
from bus_monai.data.near_duplicates import with_groups
from bus_monai.data.readers.folder import case_id, raster_files, require_files, require_folder, require_pairs
from bus_monai.errors import UserError, reading
from bus_monai.io.image import RASTER_SUFFIXES

DATALIST_TABLE = "dataset.json"
LISTED_SECTIONS = ("training", "validation", "test")
_MASK_NAME = re.compile(r"(?P<stem>.+)_mask(_\d+)?")


def is_plain_folder(folder: Path) -> bool:
    """Whether ``folder`` has ``images/`` and ``masks/``, or masks named ``*_mask.png`` or ``*_mask_1.png`` in it."""
    return _has_folders(folder) or any(_MASK_NAME.fullmatch(path.stem) for path in raster_files(folder))


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
    ids = _by_id([path for path in files if apart or not _MASK_NAME.fullmatch(path.stem)])
    stems = {path.stem: path for path in ids.values()}
    masks: dict[str, list[Path]] = defaultdict(list)
    for path in raster_files(folder / "masks") if apart else files:
        match = _MASK_NAME.fullmatch(path.stem)
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


def is_monai_datalist(folder: Path) -> bool:
    """Whether ``folder`` has a ``dataset.json``."""
    return (folder / DATALIST_TABLE).is_file()


def read_monai_datalist(folder: str | Path) -> list[Case]:
    """Read ``dataset.json``: ``{"training": [{"image": PATH, "label": PATH}, ...], ...}``, PNG or JPEG.

    Its sections are not kept, since a protocol makes the split by group; items without ``label`` are left out.
    Diagnoses are unknown; groups hold near-duplicates.

    Raises:
        UserError: the file is no such list, names files of another kind or outside of the folder, or files are missing.
    """
    folder = require_folder(folder)
    table = folder / DATALIST_TABLE
    with reading(table, "JSON", errors=(ValueError,), remedy="correct it"):
        content = json.loads(table.read_text(encoding="utf-8-sig"))
    items = [item for name in LISTED_SECTIONS for item in _listed_items(content, name)]
    pairs = [(_listed_file(folder, item["image"]), _listed_file(folder, item["label"])) for item in items]
    if not pairs:
        raise UserError(f"'{table}' has no item with 'image' and 'label': add some to its section 'training'.")
    require_files([file for pair in pairs for file in pair], table)
    ids = [case_id(image.stem) for image, _ in pairs]
    twice = next((id for id in ids if ids.count(id) > 1), None)
    if twice:
        raise UserError(f"'{table}' has two images with the id '{twice}': rename one.")
    return with_groups([Case(id, i, (label,), "", "unknown") for id, (i, label) in zip(ids, pairs, strict=True)])


def _listed_items(content: Any, section: str) -> list[dict[str, Any]]:
    items = content.get(section, []) if isinstance(content, dict) else []
    return [item for item in items if isinstance(item, dict) and "image" in item and "label" in item]


def _listed_file(folder: Path, name: Any) -> Path:
    path = posix_path(folder, str(name)).resolve()
    if folder.resolve() not in path.parents:
        raise UserError(f"'{folder / DATALIST_TABLE}' refers to '{name}' outside of its folder: move the file into it.")
    if path.suffix.lower() not in RASTER_SUFFIXES:
        raise UserError(f"'{folder / DATALIST_TABLE}' refers to '{name}', which is no PNG or JPEG: convert it.")
    # as below the folder that was given, which may itself be a link
    return folder / path.relative_to(folder.resolve())
