"""Tables as CSV."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from bus_monai.errors import writing
from bus_monai.io.atomic import atomic_file


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table as CSV in UTF-8, ``None`` as an empty field; the file appears complete or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    with writing(path), atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(itertools.chain([columns], rows))
