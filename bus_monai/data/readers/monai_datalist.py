"""MONAI's datalist of the Medical Segmentation Decathlon, for image files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bus_monai.data.case import Case
from bus_monai.data.datalist import posix_path
from bus_monai.data.near_duplicates import with_groups
from bus_monai.data.readers.folder import case_id, require_files, require_folder
from bus_monai.errors import UserError, reading
from bus_monai.io.image import RASTER_SUFFIXES

TABLE_FILE = "dataset.json"
SECTIONS = ("training", "validation", "test")


def is_monai_datalist(folder: Path) -> bool:
    """Whether ``folder`` has a ``dataset.json``."""
    return (folder / TABLE_FILE).is_file()


def read_monai_datalist(folder: str | Path) -> list[Case]:
    """Read ``dataset.json``: ``{"training": [{"image": PATH, "label": PATH}, ...], ...}``, PNG or JPEG.

    Its sections are not kept, since a protocol makes the split by group; items without ``label`` are left out.
    Diagnoses are unknown; groups hold near-duplicates.

    Raises:
        UserError: the file is no such list, names files of another kind or outside of the folder, or files are missing.
    """
    folder = require_folder(folder)
    table = folder / TABLE_FILE
    with reading(table, "JSON", errors=(ValueError,), remedy="correct it"):
        content = json.loads(table.read_text(encoding="utf-8-sig"))
    items = [item for name in SECTIONS for item in _items(content, name)]
    pairs = [(_file(folder, item["image"]), _file(folder, item["label"])) for item in items]
    if not pairs:
        raise UserError(f"'{table}' has no item with 'image' and 'label': add some to its section 'training'.")
    require_files([file for pair in pairs for file in pair], table)
    ids = [case_id(image.stem) for image, _ in pairs]
    twice = next((id for id in ids if ids.count(id) > 1), None)
    if twice:
        raise UserError(f"'{table}' has two images with the id '{twice}': rename one.")
    return with_groups([Case(id, i, (label,), "", "unknown") for id, (i, label) in zip(ids, pairs, strict=True)])


def _items(content: Any, section: str) -> list[dict[str, Any]]:
    items = content.get(section, []) if isinstance(content, dict) else []
    return [item for item in items if isinstance(item, dict) and "image" in item and "label" in item]


def _file(folder: Path, name: Any) -> Path:
    path = posix_path(folder, str(name)).resolve()
    if folder.resolve() not in path.parents:
        raise UserError(f"'{folder / TABLE_FILE}' refers to '{name}' outside of its folder: move the file into it.")
    if path.suffix.lower() not in RASTER_SUFFIXES:
        raise UserError(f"'{folder / TABLE_FILE}' refers to '{name}', which is no PNG or JPEG: convert it.")
    # as below the folder that was given, which may itself be a link
    return folder / path.relative_to(folder.resolve())
