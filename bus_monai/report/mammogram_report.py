"""One HTML page about mammograms that were read, and the tables of detections."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bus_monai.geometry.box import BOX_COLUMNS, Box
from bus_monai.io.atomic import write_table
from bus_monai.report.page import REPORT_FILE, embed, write_page

MAX_PICTURES = 12


def write_mammogram_report(
    out: Path,
    masses: Path,
    pictures: Mapping[str, Path],
    failed: Mapping[str, str],
    stages: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Write ``report.html`` into ``out``.

    Args:
        out: the folder.
        masses: table of the masses.
        pictures: PNG files by the names of the images that were read; the first twelve are shown.
        failed: why an image could not be read, by its name.
        stages: rows with ``stage``, ``given``, ``figure``, ``value``, ``low``, ``high``, where the truth is known.
    """
    with masses.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    shown = dict(list(pictures.items())[:MAX_PICTURES])
    return write_page(
        out / REPORT_FILE,
        "mammogram_report.html.jinja",
        title="Mammograms",
        images=len(pictures) + len(failed),
        failed=failed,
        masses=rows,
        columns=reader.fieldnames,
        stages=stages,
        pictures={name: embed(picture) for name, picture in shown.items()},
        more=len(pictures) - len(shown),
    )


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
