"""One HTML page about mammograms that were read."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_monai.report.files import REPORT_FILE
from bus_monai.report.page import embed, write_page

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
