"""The files that an evaluation of shapes leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bus_monai.metrics.shape_rows import ShapeRow, write_shape_rows
from bus_monai.metrics.shape_summary import summarise_shapes
from bus_monai.metrics.write_scores import SUMMARY
from bus_monai.report.files import CONFUSION, ROC, SHAPE_ROWS
from bus_monai.report.shape_figures import confusion_figure, roc_figure


def write_shape_report(folder: Path, rows: Sequence[ShapeRow], **more: Any) -> dict[str, Any]:
    """Write ``shapes.csv``, ``summary.json``, ``confusion.png`` and ``roc.png``; return the summary.

    Args:
        folder: must exist.
        rows: one a mass.
        more: further entries of the summary.
    """
    write_shape_rows(folder / SHAPE_ROWS, rows)
    summary = summarise_shapes(rows) | more
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if "confusion" in summary:
        confusion_figure(summary["confusion"]).savefig(folder / CONFUSION, dpi=110)
        roc_figure(rows).savefig(folder / ROC, dpi=110)
    return summary
