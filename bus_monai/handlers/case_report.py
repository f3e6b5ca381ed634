"""The per-case table of an evaluation, and what is computed from it."""

from __future__ import annotations

import json
from pathlib import Path

from ignite.engine import Engine, Events

from bus_monai.metrics.aggregate import summarise_all
from bus_monai.metrics.case_table import write_case_table
from bus_monai.metrics.ignite_case_metric import CaseMetric
from bus_monai.report.files import CASES, SUMMARY
from bus_monai.report.summary_table import summary_text
from bus_monai.weights import check_writable


class CaseReport:
    """Write ``cases.csv`` (a row a case) and ``summary.json`` (each rule with intervals), and print the summary.

    Args:
        metric: collects the rows.
        folder: where the files go.
        enabled: ``False`` on all processes but the first.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, *, metric: CaseMetric, folder: str | Path, enabled: bool = True) -> None:
        self.metric = metric
        self.folder = check_writable(folder)
        self.enabled = enabled

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        if self.enabled:
            engine.add_event_handler(Events.COMPLETED, self._write)

    def _write(self) -> None:
        write_case_table(self.folder / CASES, self.metric.rows)
        summaries = summarise_all(self.metric.rows)
        (self.folder / SUMMARY).write_text(json.dumps(summaries, indent=2) + "\n", encoding="utf-8")
        print(summary_text(summaries))
