"""The table of what inference found."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys as Keys

from bus_monai.report.detection_tables import DetectionRow, write_detections
from bus_monai.report.files import DETECTIONS
from bus_monai.weights import check_writable


class FoundMasses:
    """Write ``detections.csv`` when an evaluator is done; an image without masses has no row.

    The id of an image is its path below the folder of images, without suffix and with the number of its frame where
    its file holds several: the names that the masks of :func:`~bus_monai.inference.items.inference_items` have.

    Args:
        folder: where the file goes, the one that the items' ``output`` lies in.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, *, folder: str | Path) -> None:
        self.folder = check_writable(folder)
        self._rows: list[DetectionRow] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator whose predictions are lists of masses."""
        engine.add_event_handler(Events.STARTED, self._rows.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        for output, masses in zip(engine.state.batch["output"], engine.state.output[Keys.PRED], strict=True):
            id = Path(output).relative_to(self.folder).as_posix().rpartition("_mask.")[0]
            self._rows += [DetectionRow(id, mass.score, mass.frame) for mass in masses]

    def _write(self) -> None:
        write_detections(self.folder / DETECTIONS, self._rows)
