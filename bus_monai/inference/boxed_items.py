"""Crops to segment, from a table of boxes."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bus_monai.errors import UserError
from bus_monai.source import read_source
from bus_monai.transforms.save import SaveMaskd

SIDES = ("top", "left", "bottom", "right")
NAMES = ("id", "file", "image")


def boxed_items(items: Sequence[Mapping[str, Any]], folder: str | Path, table: str | Path) -> list[dict[str, Any]]:
    """Return one item a box of ``table``, in the order of ``items``.

    Args:
        items: of :func:`~bus_monai.inference.items.inference_items`.
        folder: that they lie in.
        table: CSV with a column ``id``, ``file`` or ``image`` (a file's name, with or without its ending, or its path
            below ``folder``; for one frame of several the name of its mask without ``_mask``) and the columns
            ``top``, ``left``, ``bottom``, ``right`` in whole pixels, bottom and right outside the box; others mean
            nothing.

    Returns:
        The items with ``box``, (4,) int64, and ``merge``: whether the mask is to be joined to that of a box before.

    Raises:
        UserError: the table does not exist or lacks a column, or a line names no image or several, or has no box.
    """
    table = Path(table)
    named = _names(items, Path(folder))
    boxes: dict[str, list[np.ndarray]] = defaultdict(list)
    for where, name, sides in _read(table):
        outputs = named.get(name, set())
        if len(outputs) != 1:
            found = "no image" if not outputs else f"{len(outputs)} images"
            raise UserError(f"{where} names '{name}', which is {found} below '{folder}': give the path of one image.")
        boxes[next(iter(outputs))].append(_box(where, sides))
    return [
        {**item, "box": box, "merge": number > 0} for item in items for number, box in enumerate(boxes[item["output"]])
    ]


def write_empty_masks(items: Sequence[Mapping[str, Any]], boxed: Sequence[Mapping[str, Any]]) -> None:
    """Write an empty mask for each of ``items`` that has no box among ``boxed``.

    Raises:
        UserError: an image cannot be read, or a mask cannot be written.
    """
    outputs = {item["output"] for item in boxed}
    for item in items:
        if item["output"] not in outputs:
            shape = read_source(item["image"], item["frame"]).pixels.shape
            nothing: dict[Hashable, Any] = {"pred": torch.zeros(1, *shape)}
            SaveMaskd()(nothing | {key: item[key] for key in ("source", "output")})


def _names(items: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, set[str]]:
    """Return the masks' paths by all the names that an image goes by."""
    named: dict[str, set[str]] = defaultdict(set)
    for item in items:
        path, mask = Path(item["source"]), Path(item["output"]).name
        for name in (path.relative_to(folder).as_posix(), path.name, path.stem, mask.rpartition("_mask")[0]):
            named[name].add(item["output"])
    return named


def _read(table: Path) -> list[tuple[str, str, list[str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"The table of boxes '{table}' cannot be read ({error}): give a CSV file.") from error
    key = next((name for name in NAMES if name in columns), None)
    missing = [name for name in SIDES if name not in columns]
    if key is None:
        missing.insert(0, " or ".join(NAMES))
    if key is None or missing:
        raise UserError(f"The table of boxes '{table}' lacks the column {', '.join(missing)}: add what is missing.")
    return [(f"Line {line} of '{table}'", row[key] or "", [row[side] or "" for side in SIDES]) for line, row in rows]


def _box(where: str, sides: Sequence[str]) -> np.ndarray:
    try:
        top, left, bottom, right = map(int, sides)
    except ValueError:
        top, left, bottom, right = 0, 0, 0, 0
    if top >= bottom or left >= right:
        raise UserError(
            f"{where} has no box in ({', '.join(sides)}): give top, left, bottom and right in whole pixels, bottom "
            "below top and right of left."
        )
    return np.array([top, left, bottom, right], dtype=np.int64)
