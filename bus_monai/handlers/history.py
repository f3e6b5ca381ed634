"""The curves of a training run as a table."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events

from bus_monai.handlers.training_checkpoint import TrainingCheckpoint
from bus_monai.metrics.write_table import write_table
from bus_monai.report.files import HISTORY


class History:
    """Write ``history.csv``: a row an epoch with the trainer's metrics and, prefixed ``val_``, the evaluator's.

    The rows travel with the checkpoint, so that a resumed run has the whole table.

    Args:
        folder: where the file goes.
        evaluator: validates the network.
        checkpoint: keeps the rows.
        enabled: ``False`` on all processes but the first.
    """

    def __init__(
        self, *, folder: str | Path, evaluator: Engine, checkpoint: TrainingCheckpoint, enabled: bool = True
    ) -> None:
        self.path = Path(folder) / HISTORY
        self.evaluator = evaluator
        self.checkpoint = checkpoint
        self.enabled = enabled

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer, after the handlers that compute losses and validate, before the checkpoint."""
        if self.enabled:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _write(self, engine: Engine) -> None:
        rows = self.checkpoint.extra.setdefault("history", [])
        row: dict[str, float] = {"epoch": engine.state.epoch} | {k: float(v) for k, v in engine.state.metrics.items()}
        if self.evaluator.state.epoch == engine.state.epoch:
            row |= {f"val_{name}": float(value) for name, value in self.evaluator.state.metrics.items()}
        rows.append(row)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        write_table(self.path, columns, ([row.get(name) for name in columns] for row in rows))
