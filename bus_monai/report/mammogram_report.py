"""One HTML page about mammograms that were read, and the tables of detections."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_monai.geometry.box import BOX_COLUMNS, Box
from bus_monai.io.atomic import write_table
from bus_monai.metrics.detection import Detection
from bus_monai.report.page import REPORT_FILE, embed, interval, number, write_page
from bus_monai.report.paper import TABLES_FOLDER, write_paper_table

MAX_PICTURES = 12
STAGES_TABLE = "stages"
DETECTION_COLUMNS = ("id", "score", *BOX_COLUMNS, "matched")
TRUTH_COLUMNS = ("id", *BOX_COLUMNS, "found", "score")


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
    if stages is not None:
        lines = [[s["stage"], s["given"], s["figure"], number(s["value"]), interval(s)] for s in stages]
        header = ["Stage", "Given", "Figure", "Value", "95 % interval"]
        write_paper_table(out / TABLES_FOLDER, STAGES_TABLE, header, lines)
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


def write_detections(path: Path, rows: Iterable[tuple[Detection, bool | None]]) -> None:
    """Write ``detections.csv``.

    Args:
        path: of the file.
        rows: found boxes in pixels of the source image, each with whether it finds a mass; ``None``, an empty field,
            where the masses are not known.

    Raises:
        UserError: the file cannot be written.
    """
    lines = [(found.image, found.score, *found.box.sides, matched) for found, matched in rows]
    write_table(path, DETECTION_COLUMNS, lines)


def write_truths(path: Path, rows: Iterable[tuple[str, Box, float | None]]) -> None:
    """Write ``truths.csv``.

    Args:
        path: of the file.
        rows: id of the image and box of each mass, and the score of the box that finds it; ``None``, an empty field,
            where it is missed.

    Raises:
        UserError: the file cannot be written.
    """
    lines = [(id, *box.sides, score is not None, score) for id, box, score in rows]
    write_table(path, TRUTH_COLUMNS, lines)
