"""The tables of a detector."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bus_monai.geometry.box import BOX_COLUMNS, Box
from bus_monai.io.atomic import write_table


class DetectionRow(NamedTuple):
    """A row of ``detections.csv``: a found box in pixels of the source image.

    ``matched`` tells whether it finds a mass, ``None`` where the masses are not known.
    """

    id: str
    score: float
    box: Box
    matched: bool | None = None


class TruthRow(NamedTuple):
    """A row of ``truths.csv``: a mass, and the score of the box that finds it, ``None`` where it is missed."""

    id: str
    box: Box
    score: float | None


def write_detections(path: Path, rows: Iterable[DetectionRow]) -> None:
    """Write ``detections.csv``; an unknown ``matched`` is an empty field.

    Raises:
        UserError: the file cannot be written.
    """
    lines = [(row.id, row.score, *row.box.sides, row.matched) for row in rows]
    write_table(path, ("id", "score", *BOX_COLUMNS, "matched"), lines)


def write_truths(path: Path, rows: Iterable[TruthRow]) -> None:
    """Write ``truths.csv``; the score of a missed mass is an empty field.

    Raises:
        UserError: the file cannot be written.
    """
    lines = [(row.id, *row.box.sides, row.score is not None, row.score) for row in rows]
    write_table(path, ("id", *BOX_COLUMNS, "found", "score"), lines)
