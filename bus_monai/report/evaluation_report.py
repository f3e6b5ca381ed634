"""One HTML page about an evaluation, computed from its table of cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bus_monai.metrics.aggregate import summarise, summarise_all
from bus_monai.metrics.agreement import bland_altman
from bus_monai.metrics.case_table import CaseRow, read_case_table
from bus_monai.metrics.operating_curves import operating_curves
from bus_monai.metrics.robustness import ROBUSTNESS
from bus_monai.metrics.subgroups import by_diagnosis, by_lesion_size
from bus_monai.metrics.write_scores import CASES
from bus_monai.report.agreement_figure import agreement_figure
from bus_monai.report.box_figure import box_figure
from bus_monai.report.files import OVERLAYS, REPORT
from bus_monai.report.operating_figure import operating_figure
from bus_monai.report.page import embed, write_page


def write_evaluation_report(folder: Path) -> Path:
    """Write ``report.html`` from ``cases.csv`` of ``folder``, and ``overlays.png`` and ``robustness.json`` if there.

    Raises:
        UserError: there is no table of cases, or it is broken.
    """
    rows = read_case_table(folder / CASES)
    curves, agreement = operating_curves(rows), bland_altman(rows)
    name = folder.resolve().name
    return write_page(
        folder / REPORT,
        "evaluation_report.html.jinja",
        title=f"Evaluation: {name}",
        rows=sorted(rows, key=lambda row: (2.0 if row.dice is None else row.dice, row.id)),
        groups=len({row.group for row in rows}),
        summaries=summarise_all(rows),
        overlays=embed(folder / OVERLAYS) if (folder / OVERLAYS).is_file() else None,
        boxes=embed(box_figure({name: rows})) if any(row.has_lesion for row in rows) else None,
        curves=curves,
        operating=embed(operating_figure({name: curves})) if curves else None,
        subgroups={
            "By diagnosis": _parts(by_diagnosis(rows)),
            "By the size of the lesion": _parts(by_lesion_size(rows)),
        },
        robustness=json.loads((folder / ROBUSTNESS).read_text()) if (folder / ROBUSTNESS).is_file() else None,
        agreement=agreement,
        areas=embed(agreement_figure(agreement)) if agreement else None,
    )


def _parts(parts: Mapping[str, Sequence[CaseRow]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "cases": len(rows),
            "missed": sum(row.missed for row in rows),
            **{summary.metric: asdict(summary) for summary in summarise(rows, "lesion")},
        }
        for name, rows in parts.items()
    ]
