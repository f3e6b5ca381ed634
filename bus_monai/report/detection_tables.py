"""The tables of a detector."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bus_monai.geometry.box import Frame
from bus_monai.io.tables import write_table


class DetectionRow(NamedTuple):
    """A row of ``detections.csv``: a found frame in pixels of the source image.

    ``matched`` tells whether it finds a mass, ``None`` where the masses are not known.
    """

    id: str
    score: float
    frame: Frame
    matched: bool | None = None


class TruthRow(NamedTuple):
    """A row of ``truths.csv``: a mass, and the score of the frame that finds it, ``None`` where it is missed."""

    id: str
    frame: Frame
    score: float | None


def write_detections(path: Path, rows: Iterable[DetectionRow]) -> None:
    """Write ``detections.csv``; an unknown ``matched`` is an empty field.

    Raises:
        UserError: the file cannot be written.
    """
    lines = [(row.id, row.score, *row.frame, row.matched) for row in rows]
    write_table(path, ("id", "score", *Frame._fields, "matched"), lines)


def write_truths(path: Path, rows: Iterable[TruthRow]) -> None:
    """Write ``truths.csv``; the score of a missed mass is an empty field.

    Raises:
        UserError: the file cannot be written.
    """
    lines = [(row.id, *row.frame, row.score is not None, row.score) for row in rows]
    write_table(path, ("id", *Frame._fields, "found", "score"), lines)
