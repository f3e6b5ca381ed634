"""Shapes of masses: the words of data sets, and ``mass_shapes.csv`` of a prepared folder."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from bus_monai.data.datalist import Shape
from bus_monai.data.readers.folder import read_csv_table

SHAPES_FILE = "mass_shapes.csv"
SHAPE_TABLE_COLUMNS = ("id", "mass", "shape")
SHAPE_NOT_GIVEN = "NA"
CLASS_OF_WORD: Mapping[str, Shape] = {
    "IRREGULAR": "irregular",
    "LOBULATED": "lobular",
    "OVAL": "oval",
    "ROUND": "round",
}
"""The words of CBIS-DDSM, of which BrEaST has all but the second; compounds such as ``LOBULATED-OVAL`` belong to no one
class."""
WORD_OF_CLASS: Mapping[Shape, str] = {shape: word for word, shape in CLASS_OF_WORD.items()}


def shape_word(text: str) -> str:
    """Return the word of a shape for one of the four classes or any word, in capitals or not; ``NA`` for none.

    Example:
        >>> shape_word("lobular"), shape_word("Oval"), shape_word("")
        ('LOBULATED', 'OVAL', 'NA')
    """
    classes = {shape.upper(): word for shape, word in WORD_OF_CLASS.items()}
    return classes.get(text.upper(), text.upper()) or SHAPE_NOT_GIVEN


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


def shapes_text(masses: Iterable[tuple[str, int, str]]) -> str:
    """Say in one line how many masses each class has, and how often each word or compound without a class occurs.

    Args:
        masses: rows as :func:`read_shape_table` gives them.

    Example:
        >>> shapes_text([("a", 1, "OVAL"), ("a", 2, "ROUND"), ("b", 1, "OVAL"), ("c", 1, "NA")])
        '3 masses kept (irregular 0, lobular 0, oval 2, round 1), 1 dropped (NA 1).'
    """
    words = Counter(word for _, _, word in masses)
    counts = {name: words.pop(word, 0) for word, name in CLASS_OF_WORD.items()}
    kept = ", ".join(f"{name} {count}" for name, count in counts.items())
    dropped = ", ".join(f"{word} {n}" for word, n in sorted(words.items(), key=lambda item: (-item[1], item[0])))
    return f"{sum(counts.values())} masses kept ({kept}), {words.total()} dropped ({dropped or 'none'})."


def report_shapes(folder: str | Path, *, enabled: bool = True) -> None:
    """Print :func:`shapes_text` of the masses of a prepared folder.

    Raises:
        UserError: as :func:`read_shape_table`.
    """
    if enabled:
        print(shapes_text(read_shape_table(Path(folder).expanduser())))
