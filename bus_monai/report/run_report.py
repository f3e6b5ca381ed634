"""One HTML page about a run: curves, examples, scores."""

from __future__ import annotations

import json
from pathlib import Path

from bus_monai.errors import UserError, reading
from bus_monai.metrics.aggregate import SUMMARY_FILE
from bus_monai.report.files import EXAMPLES_FILE, HISTORY_FILE, REPORT_FILE, read_history
from bus_monai.report.page import embed, write_page
from bus_monai.report.score_figures import curves_figure


def write_run_report(folder: Path) -> Path:
    """Write ``report.html``, one file without references to others, from what training and evaluation left.

    Args:
        folder: the ``output_dir`` of both, with ``history.csv``, ``examples.png`` and ``summary.json``.

    Returns:
        The path of the page.

    Raises:
        UserError: one of them is missing, or the summary is broken.
    """
    for name, step in ((HISTORY_FILE, "train"), (SUMMARY_FILE, "evaluate"), (EXAMPLES_FILE, "evaluate")):
        if not (folder / name).is_file():
            raise UserError(f"'{folder / name}' does not exist: {step} with --output_dir {folder} first.")
    summary = folder / SUMMARY_FILE
    with reading(summary, "JSON", errors=(ValueError,), remedy=f"evaluate with --output_dir {folder} again"):
        summaries = json.loads(summary.read_text(encoding="utf-8"))
    return write_page(
        folder / REPORT_FILE,
        "run_report.html.jinja",
        title=folder.resolve().name,
        curves=embed(curves_figure(read_history(folder))),
        examples=embed(folder / EXAMPLES_FILE),
        summaries=summaries,
    )
