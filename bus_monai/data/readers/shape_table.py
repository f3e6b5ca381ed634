"""``mass_shapes.csv``: the shape of each mass of a prepared folder, in the words of its data set."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from bus_monai.data.readers.tables import read_csv_table

SHAPES = "mass_shapes.csv"
COLUMNS = ("id", "mass", "shape")


def write_shape_table(folder: Path, rows: Iterable[tuple[str, int, str]]) -> None:
    """Write the id of the case, the number of the mass and its shape word, a row a mass in the order of the masks."""
    with (folder / SHAPES).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def read_shape_table(folder: Path) -> list[tuple[str, int, str]]:
    """Read what :func:`write_shape_table` wrote.

    Raises:
        UserError: it does not exist, cannot be read, or lacks a column.
    """
    return [(row["id"], int(row["mass"]), row["shape"]) for row in read_csv_table(folder / SHAPES, COLUMNS)]
