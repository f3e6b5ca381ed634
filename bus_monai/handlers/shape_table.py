"""The table of masses whose shape is not known."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events

from bus_monai.metrics.shape_rows import ShapeRow, write_shape_rows
from bus_monai.report.files import SHAPE_ROWS
from bus_monai.weights import check_writable


class ShapeTable:
    """Write ``shapes.csv``, a row a mass, as an evaluator goes through them.

    Args:
        folder: where the file goes.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, *, folder: str | Path) -> None:
        self.folder = check_writable(folder)
        self._rows: list[ShapeRow] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self._rows.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        self._rows += map(ShapeRow.of, engine.state.batch, engine.state.output)

    def _write(self) -> None:
        write_shape_rows(self.folder / SHAPE_ROWS, self._rows)
