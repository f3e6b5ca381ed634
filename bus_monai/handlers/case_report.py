"""The per-case table of an evaluation, and what is computed from it."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events

from bus_monai.metrics.ignite_case_metric import CaseMetric
from bus_monai.metrics.write_scores import write_scores
from bus_monai.report.summary_table import summary_text
from bus_monai.weights import check_writable


class CaseReport:
    """Write ``cases.csv`` (a row a case) and ``summary.json`` (each rule with intervals), and print the summary.

    Args:
        metric: collects the rows.
        folder: where the files go.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, *, metric: CaseMetric, folder: str | Path) -> None:
        self.metric = metric
        self.folder = check_writable(folder)

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _write(self) -> None:
        print(summary_text(write_scores(self.folder, self.metric.rows)))
