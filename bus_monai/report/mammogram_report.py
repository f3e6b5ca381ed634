"""One HTML page about mammograms that were read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus_monai.metrics.aggregate import summarise
from bus_monai.report.files import REPORT
from bus_monai.report.page import embed, write_page

if TYPE_CHECKING:
    from bus_monai.mammogram.mammo_job import ReadImage
    from bus_monai.mammogram.stage_errors import StageErrors

MOST_PICTURES = 12


def write_mammogram_report(
    out: Path, table: Path, results: Sequence[ReadImage], errors: StageErrors | None = None
) -> Path:
    """Write ``report.html`` into ``out``.

    Args:
        out: the folder.
        table: the masses.
        results: what became of each image.
        errors: where the truth is known.
    """
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        masses = list(reader)
    drawn = [result for result in results if result.masses is not None]
    shown = sorted(drawn, key=lambda result: result.masses == 0)[:MOST_PICTURES]
    return write_page(
        out / REPORT,
        "mammogram_report.html.jinja",
        title="Mammograms",
        images=len(results),
        failed=[result for result in results if result.masses is None],
        masses=masses,
        columns=reader.fieldnames,
        errors=stage_table(errors) if errors is not None else None,
        pictures={result.item.name: embed(result.item.overlay) for result in shown},
        more=len(drawn) - len(shown),
    )


def stage_table(errors: StageErrors) -> list[dict[str, Any]]:
    """Return a row for each stage and what it was given, with value and 95 % interval."""
    rows: list[dict[str, Any]] = []

    def add(stage: str, given: str, figure: str, value: float, low: float | None, high: float | None) -> None:
        rows.append({"stage": stage, "given": given, "figure": figure, "value": value, "low": low, "high": high})

    for summary in summarise(errors.detected, "detection"):
        add("detection", "images", summary.metric.replace("_", " "), summary.mean, summary.low, summary.high)
    for given, mean in errors.dice().items():
        add("segmentation", given, "Dice of a mass", mean.value, mean.low, mean.high)
    for given, table in (("true boxes", errors.with_box), ("detected boxes", errors.detected)):
        for summary in summarise(table, "lesion"):
            if summary.metric in ("dice", "iou"):
                figure = {"dice": "Dice of an image", "iou": "IoU of an image"}[summary.metric]
                add("segmentation", given, figure, summary.mean, summary.low, summary.high)
    for given, share in errors.shape_accuracy().items():
        add("shape", given, "accuracy", share.value, share.low, share.high)
    return rows
