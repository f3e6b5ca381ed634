"""Shapes of masses: the words of data sets, and ``mass_shapes.csv`` of a prepared folder."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bus_monai.data.case import Shape
from bus_monai.data.readers.folder import read_csv_table

SHAPES_FILE = "mass_shapes.csv"
SHAPE_TABLE_COLUMNS = ("id", "mass", "shape")
CLASS_OF_WORD: Mapping[str, Shape] = {
    "IRREGULAR": "irregular",
    "LOBULATED": "lobular",
    "OVAL": "oval",
    "ROUND": "round",
}
"""The words of CBIS-DDSM, of which BrEaST has all but the second; compounds such as ``LOBULATED-OVAL`` belong to no one
class."""
WORD_OF_CLASS: Mapping[Shape, str] = {shape: word for word, shape in CLASS_OF_WORD.items()}


def write_shape_table(folder: Path, rows: Iterable[tuple[str, int, str]]) -> None:
    """Write the id of the case, the number of the mass and its shape, one row per mass in the order of the masks."""
    with (folder / SHAPES_FILE).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([SHAPE_TABLE_COLUMNS, *rows])


def read_shape_table(folder: Path) -> list[tuple[str, int, str]]:
    """Read what :func:`write_shape_table` wrote.

    Raises:
        UserError: it does not exist, cannot be read, or lacks a column.
    """
    return [
        (row["id"], int(row["mass"]), row["shape"]) for row in read_csv_table(folder / SHAPES_FILE, SHAPE_TABLE_COLUMNS)
    ]


@dataclass(frozen=True)
class MassShapes:
    """The masses of a set by class, and those that have none.

    Args:
        classes: class of each mass by the id of its case and its number, from 1.
        dropped: how often each other word or compound occurs.
    """

    classes: Mapping[tuple[str, int], Shape]
    dropped: Counter[str]

    def report(self) -> str:
        """Say in one line how many masses each class has, and what was dropped."""
        counts = Counter(self.classes.values())
        kept = ", ".join(f"{name} {counts[name]}" for name in sorted(CLASS_OF_WORD.values()))
        words = ", ".join(
            f"{word} {n}" for word, n in sorted(self.dropped.items(), key=lambda item: (-item[1], item[0]))
        )
        return f"{len(self.classes)} masses kept ({kept}), {self.dropped.total()} dropped ({words or 'none'})."


def classify_shapes(masses: Iterable[tuple[str, int, str]]) -> MassShapes:
    """Map id, number and shape word of each mass to its class; drop and count compounds and words without class."""
    classes: dict[tuple[str, int], Shape] = {}
    dropped: Counter[str] = Counter()
    for case, number, word in masses:
        if word in CLASS_OF_WORD:
            classes[case, number] = CLASS_OF_WORD[word]
        else:
            dropped[word] += 1
    return MassShapes(classes, dropped)


def read_mass_shapes(folder: str | Path) -> MassShapes:
    """Read ``mass_shapes.csv`` of a prepared folder.

    Raises:
        UserError: it does not exist, cannot be read, or lacks a column.
    """
    return classify_shapes(read_shape_table(Path(folder).expanduser()))


def report_shapes(folder: str | Path, *, enabled: bool = True) -> None:
    """Print what :func:`read_mass_shapes` finds in a folder.

    Raises:
        UserError: as there.
    """
    if enabled:
        print(read_mass_shapes(folder).report())
