"""Groups of images that somebody has found before."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from bus_monai.errors import UserError

KNOWN_DUPLICATES = "near_duplicates.csv"


def known_duplicates(images: Sequence[Path], table: Path) -> Iterator[tuple[int, int]]:
    """Yield pairs of indices of ``images`` that join the groups of ``table``; none if there is no table.

    Args:
        images: files; rows about others are passed over.
        table: CSV with the columns ``group`` and ``image`` (path relative to the table).

    Raises:
        UserError: ``table`` lacks a column.
    """
    if not table.is_file():
        return
    index = {path.resolve(): i for i, path in enumerate(images)}
    first: dict[str, int] = {}
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not {"group", "image"} <= set(rows.fieldnames or ()):
            raise UserError(f"'{table}' lacks the columns 'group' and 'image': correct or remove it.")
        for row in rows:
            i = index.get((table.parent / row["image"]).resolve())
            if i is not None:
                yield first.setdefault(row["group"], i), i
