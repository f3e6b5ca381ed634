"""The table of classified masses, one row a mass."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bus_monai.errors import UserError
from bus_monai.metrics.write_table import write_table
from bus_monai.networks.shape_cnn import SHAPE_CLASSES

COLUMNS = ("id", "group", "truth", "predicted", *SHAPE_CLASSES)


@dataclass(frozen=True)
class ShapeRow:
    """A mass and what the classifier says of it.

    Args:
        id: of the mass.
        group: patient; masses of a group are not independent.
        truth: its shape; ``None`` where not known.
        probabilities: of irregular, lobular, oval and round; empty where the mass was not found in a predicted mask.
    """

    id: str
    group: str
    truth: str | None
    probabilities: tuple[float, ...]

    @classmethod
    def of(cls, item: Mapping[str, Any], output: Mapping[str, Any]) -> ShapeRow:
        """Make a row of an evaluator's item and output, whose ``pred`` (4,) holds probabilities."""
        truth = SHAPE_CLASSES[int(item["label"])] if "label" in item else None
        # an empty mask is a mass that a segmenter missed
        found = bool(item["image"].any())
        values = output["pred"].detach().double().cpu().tolist() if found else ()
        return cls(str(item["id"]), str(item.get("group", item["id"])), truth, tuple(values))

    @property
    def predicted(self) -> str | None:
        """The most probable shape; ``None`` where the mass was not found."""
        return SHAPE_CLASSES[int(np.argmax(self.probabilities))] if self.probabilities else None


def write_shape_rows(path: Path, rows: Iterable[ShapeRow]) -> None:
    """Write a table as CSV: ``None`` and what is not known as an empty field, numbers with all their digits.

    Raises:
        UserError: the file cannot be written.
    """
    nothing = [None] * len(SHAPE_CLASSES)
    write_table(
        path, COLUMNS, ((row.id, row.group, row.truth, row.predicted, *(row.probabilities or nothing)) for row in rows)
    )


def read_shape_rows(path: Path) -> list[ShapeRow]:
    """Read a table that :func:`write_shape_rows` wrote; rows equal those written.

    Raises:
        UserError: it cannot be read or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                ShapeRow(
                    row["id"],
                    row["group"],
                    row["truth"] or None,
                    tuple(float(row[name]) for name in SHAPE_CLASSES if row[name]),
                )
                for row in csv.DictReader(file, strict=True)
            ]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UserError(
            f"Cannot read '{path}' as a table of shapes ({error}): give the shapes.csv of a run."
        ) from error
