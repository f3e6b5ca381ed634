"""Tables of a job over many images."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bus_monai.errors import UserError


@contextmanager
def job_tables(out: Path, columns: Mapping[str, Sequence[str]], *, pictures: str) -> Iterator[list[Any]]:
    """Make ``out``, and yield a ``csv.writer`` of each table, whose lines are on disk as they are written.

    Args:
        out: folder of the results.
        columns: header of each table, by the name of its file.
        pictures: what else the job writes, in words.

    Raises:
        UserError: something cannot be written, in the tables or within the block.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            tables = []
            for name, header in columns.items():
                file = stack.enter_context((out / name).open("w", newline="", encoding="utf-8", buffering=1))
                tables.append(csv.writer(file))
                tables[-1].writerow(header)
            yield tables
    except OSError as error:
        raise UserError(
            f"Cannot write to '{out}' ({error.strerror}): free space or give another --out; the {pictures} written "
            "before are whole."
        ) from error
