"""The table of an evaluation's masses, and what is computed from it."""

from __future__ import annotations

import logging
from pathlib import Path

from ignite.engine import Engine, Events

from bus_monai.errors import UserError
from bus_monai.metrics.ignite_shape_metric import ShapeMetric
from bus_monai.metrics.shape_summary import summary_lines
from bus_monai.report.files import SHAPES_BY_COLUMN
from bus_monai.report.shape_report import write_shape_report
from bus_monai.report.shapes_by_column import read_column, write_shapes_by_column
from bus_monai.weights import check_writable

logger = logging.getLogger("bus_monai")
MOST_NAMED = 5


class ShapeReport:
    """Write ``shapes.csv`` (a row a mass), ``summary.json``, ``confusion.png`` and ``roc.png``, and print the summary.

    Args:
        metric: collects the rows.
        folder: where the files go.
        column_table: CSV with the column ``id``, optionally ``mass``, and ``column``.
        column: predicted shapes are counted against it in ``shapes_by_column.csv``; masses without a value are named.

    Raises:
        UserError: the folder cannot be written to, one of ``column_table`` and ``column`` is given alone, or the table
            cannot be used.
    """

    def __init__(
        self, *, metric: ShapeMetric, folder: str | Path, column_table: str | None = None, column: str | None = None
    ) -> None:
        if (column_table is None) != (column is None):
            raise UserError("column_table and column go together: give the CSV file and the name of its column.")
        self.metric = metric
        self.folder = check_writable(folder)
        self.column = column
        self.values = read_column(column_table, column) if column_table and column else None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _write(self) -> None:
        rows = self.metric.rows
        if self.values is None or self.column is None:
            print(summary_lines(write_shape_report(self.folder, rows)))
            return
        missing = write_shapes_by_column(self.folder / SHAPES_BY_COLUMN, rows, self.values, self.column)
        summary = write_shape_report(self.folder, rows, column=self.column, without_column=missing)
        print(summary_lines(summary))
        if missing:
            named = ", ".join(missing[:MOST_NAMED]) + (", ..." if len(missing) > MOST_NAMED else "")
            logger.warning("%d of %d masses have no %s: %s", len(missing), len(rows), self.column, named)
