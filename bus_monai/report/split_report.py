"""One HTML page about models on the images they learnt from and on those they did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bus_monai.metrics.aggregate import RULES, summarise
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.comparison import RULE
from bus_monai.metrics.operating_curves import operating_curves
from bus_monai.report.files import REPORT
from bus_monai.report.operating_figure import operating_figure
from bus_monai.report.page import embed, write_page

METRICS = ("dice", "iou", "sensitivity", "precision")


def write_split_report(tables: Mapping[str, Mapping[str, Sequence[CaseRow]]], folder: Path) -> Path:
    """Write ``report.html``, and ``curves_NAME.png`` with the ROC curves of every split of each model.

    Args:
        tables: rows of each split by its name, by name of the model.
        folder: has a folder of each split, with the pages that this one leads to.
    """
    return write_page(
        folder / REPORT,
        "split_report.html.jinja",
        title=f"Splits: {', '.join(tables)}",
        rule=RULES[RULE].text,
        metrics=METRICS,
        models={name: _model(name, splits, folder, alone=len(tables) == 1) for name, splits in tables.items()},
    )


def _model(name: str, splits: Mapping[str, Sequence[CaseRow]], folder: Path, *, alone: bool) -> dict[str, Any]:
    # a split without a pixel of lesion has no curve
    curves = {split: found for split, rows in splits.items() if (found := operating_curves(rows)) is not None}
    figure = folder / f"curves_{name}.png"
    operating_figure(curves).savefig(figure, dpi=110)
    return {
        "figure": embed(figure),
        "splits": [
            {
                "name": split,
                "page": f"{split}/{REPORT}" if alone else f"{split}/{name}/{REPORT}",
                "cases": len(rows),
                "scores": {score.metric: asdict(score) for score in summarise(rows, RULE)},
                "auc": curves[split].auc if split in curves else None,
            }
            for split, rows in splits.items()
        ],
    }
