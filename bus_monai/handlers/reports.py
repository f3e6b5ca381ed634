"""Handlers that write tables and summaries of an evaluation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys as Keys

from bus_monai.errors import UserError
from bus_monai.io.atomic import check_writable, write_json
from bus_monai.io.ours import check_run_files
from bus_monai.metrics.aggregate import CASES_FILE, DATA_FILE, FOLDS_FILE, ROBUSTNESS_FILE, SUMMARY_FILE, write_scores
from bus_monai.metrics.case_table import CASE_COLUMNS
from bus_monai.metrics.detection import Detection
from bus_monai.metrics.ignite import CaseMetric, DetectionMetric, ShapeMetric
from bus_monai.metrics.shapes import SHAPE_COLUMNS, ShapeRow, summary_lines, write_shape_rows
from bus_monai.report.mammogram_report import DETECTION_COLUMNS, TRUTH_COLUMNS, write_detections, write_truths
from bus_monai.report.page import (
    CONFUSION_FILE,
    DETECTIONS_FILE,
    FOLD_ROC_FILE,
    FROC_FILE,
    ROC_FILE,
    SHAPE_ROWS_FILE,
    SHAPES_BY_COLUMN_FILE,
    TRUTHS_FILE,
    number,
    summary_text,
)
from bus_monai.report.paper import TABLES_FOLDER, check_paper_files, save_figure, write_paper_table
from bus_monai.report.score_figures import froc_figure
from bus_monai.report.shape_report import SHAPES_TABLE, read_column, write_shape_report, write_shapes_by_column

logger = logging.getLogger("bus_monai")
Row = TypeVar("Row")
MAX_NAMED = 5
DETECTION_TABLE = "detection"


class _Report:
    """Write files when an evaluation is done.

    Args:
        folder: where they go.

    Raises:
        UserError: the folder cannot be written to, or holds a file of such a name that this package did not write.
    """

    tables: ClassVar[Mapping[str, Sequence[str]]]
    """Columns of the tables, by file name."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Other files without a mark."""
    marked: ClassVar[tuple[str, ...]] = ()
    """Figures."""
    paper: ClassVar[tuple[str, ...]] = ()
    """Tables for a paper, without ending."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = check_writable(folder)
        check_run_files(self.folder, tables=self.tables, beside=self.beside, marked=self.marked)
        check_paper_files(self.folder, tables=self.paper, option="output_dir")

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _write(self) -> None:
        raise NotImplementedError


class _Table(_Report, Generic[Row]):
    """Write a table of what the iterations of an evaluation gave."""

    def __init__(self, *, folder: str | Path) -> None:
        super().__init__(folder)
        self._rows: list[Row] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        super().attach(engine)
        engine.add_event_handler(Events.STARTED, self._rows.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)

    def _collect(self, engine: Engine) -> None:
        raise NotImplementedError


class CaseReport(_Report):
    """Write ``cases.csv`` (one row per case) and ``summary.json`` (each rule with intervals), and print the summary.

    Args:
        metric: collects the rows.
        folder: where the files go.
        data: what is evaluated, written as ``data.json``.

    Raises:
        UserError: the folder cannot be written to, or holds a file of such a name that this package did not write.
    """

    tables: ClassVar[Mapping[str, Sequence[str]]] = {CASES_FILE: CASE_COLUMNS}
    beside = (SUMMARY_FILE, DATA_FILE, ROBUSTNESS_FILE, FOLDS_FILE)

    def __init__(self, *, metric: CaseMetric, folder: str | Path, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder)
        self.metric = metric
        self.data = data

    def _write(self) -> None:
        summaries = write_scores(self.folder, self.metric.rows)
        if self.data is not None:
            write_json(self.folder / DATA_FILE, self.data)
        print(summary_text(summaries))


class DetectionReport(_Report):
    """Write ``detections.csv``, ``truths.csv``, ``summary.json`` and ``froc.png``, and print the summary.

    ``detections.csv`` has one row per box, also those that score too low to count but belong to the curve, from the
    highest score down; ``truths.csv`` one row per mass, with the score of the box that finds it where that counts.

    Args:
        metric: holds what was found.
        folder: where the files go.

    Raises:
        UserError: the folder cannot be written to, or holds a file of such a name that this package did not write.
    """

    tables: ClassVar[Mapping[str, Sequence[str]]] = {DETECTIONS_FILE: DETECTION_COLUMNS, TRUTHS_FILE: TRUTH_COLUMNS}
    beside = (SUMMARY_FILE,)
    marked = (FROC_FILE,)
    paper = (DETECTION_TABLE,)

    def __init__(self, *, metric: DetectionMetric, folder: str | Path) -> None:
        super().__init__(folder)
        self.metric = metric

    def _write(self) -> None:
        metric = self.metric
        assert metric.curve is not None
        write_detections(self.folder / DETECTIONS_FILE, ((box, truth is not None) for box, truth in metric.matched))
        counted = [(box, truth) for box, truth in metric.matched if box.score >= metric.threshold]
        finders = {(box.image, truth): box.score for box, truth in counted if truth is not None}
        truths = [
            (image.id, box, finders.get((image.id, number)))
            for image in metric.rows
            for number, box in enumerate(image.truths)
        ]
        write_truths(self.folder / TRUTHS_FILE, truths)
        save_figure(froc_figure(metric.curve), self.folder / FROC_FILE)
        froc = metric.curve.froc()
        summary: dict[str, Any] = {
            "images": metric.curve.images,
            "masses": metric.curve.truths,
            "average_precision_50": metric.curve.average_precision,
            "froc": {f"{rate:g}": value for rate, value in froc.items()} if froc else None,
            "threshold": metric.threshold,
            "found": len(finders),
            "missed": len(truths) - len(finders),
            "false_positives": len(counted) - len(finders),
        }
        write_json(self.folder / SUMMARY_FILE, summary)
        if froc and metric.curve.average_precision is not None:
            lines = [["Average precision", number(metric.curve.average_precision)]]
            lines += [
                [f"Sensitivity at {rate:g} false positives per image", number(found)] for rate, found in froc.items()
            ]
            write_paper_table(self.folder / TABLES_FOLDER, DETECTION_TABLE, ["Measure", "Value"], lines)
        print(_text(summary))


def _text(summary: dict[str, Any]) -> str:
    """Put the summary into words."""
    lines = [
        f"\n{summary['masses']} masses in {summary['images']} images, found where the IoU is 0.5 or more",
        (
            f"  from a score of {summary['threshold']:g} on: {summary['found']} found, {summary['missed']} missed, "
            f"{summary['false_positives']} false positives"
        ),
    ]
    if summary["froc"] is not None:
        lines.append(f"  average precision {summary['average_precision_50']:.4f}")
        lines += [
            f"  sensitivity {value:.4f} at {rate} false positives per image" for rate, value in summary["froc"].items()
        ]
    return "\n".join(lines)


class FoundMasses(_Table[Detection]):
    """Write ``detections.csv`` when an evaluator is done; an image without masses has no row.

    The id of an image is its path below the folder of images, without suffix and with the number of its frame where
    its file holds several: the names that the masks of :func:`~bus_monai.data.items.inference_items` have.

    Args:
        folder: where the file goes, the one that the items' ``output`` lies in.

    Raises:
        UserError: the folder cannot be written to, or holds a file of such a name that this package did not write.
    """

    tables: ClassVar[Mapping[str, Sequence[str]]] = {DETECTIONS_FILE: DETECTION_COLUMNS}

    def _collect(self, engine: Engine) -> None:
        for output, masses in zip(engine.state.batch["output"], engine.state.output[Keys.PRED], strict=True):
            id = Path(output).relative_to(self.folder).as_posix().rpartition("_mask.")[0]
            self._rows += [Detection(id, mass.box, mass.score) for mass in masses]

    def _write(self) -> None:
        write_detections(self.folder / DETECTIONS_FILE, ((box, None) for box in self._rows))


class ShapeReport(_Report):
    """Write ``shapes.csv`` (one row per mass), ``summary.json``, ``confusion.png``, ``roc.png``; print the summary.

    Args:
        metric: collects the rows.
        folder: where the files go.
        column_table: CSV with the column ``id``, optionally ``mass``, and ``column``.
        column: predicted shapes are counted against it in ``shapes_by_column.csv``; masses without a value are named.

    Raises:
        UserError: the folder cannot be written to or holds a file of such a name that this package did not write, one
            of ``column_table`` and ``column`` is given alone, or the table cannot be used.
    """

    tables: ClassVar[Mapping[str, Sequence[str]]] = {SHAPE_ROWS_FILE: SHAPE_COLUMNS}
    beside = (SUMMARY_FILE, SHAPES_BY_COLUMN_FILE, FOLDS_FILE)
    marked = (CONFUSION_FILE, ROC_FILE, FOLD_ROC_FILE)
    paper = (SHAPES_TABLE,)

    def __init__(
        self, *, metric: ShapeMetric, folder: str | Path, column_table: str | None = None, column: str | None = None
    ) -> None:
        if (column_table is None) != (column is None):
            raise UserError("column_table and column go together: give the CSV file and the name of its column.")
        super().__init__(folder)
        self.metric = metric
        self.column = column
        self.values = read_column(column_table, column) if column_table and column else None

    def _write(self) -> None:
        rows = self.metric.rows
        if self.values is None or self.column is None:
            print(summary_lines(write_shape_report(self.folder, rows)))
            return
        missing = write_shapes_by_column(self.folder / SHAPES_BY_COLUMN_FILE, rows, self.values, self.column)
        summary = write_shape_report(self.folder, rows, column=self.column, without_column=missing)
        print(summary_lines(summary))
        if missing:
            named = ", ".join(missing[:MAX_NAMED]) + (", ..." if len(missing) > MAX_NAMED else "")
            logger.warning("%d of %d masses have no %s: %s", len(missing), len(rows), self.column, named)


class ShapeTable(_Table[ShapeRow]):
    """Write ``shapes.csv``, one row per mass, as an evaluator goes through them.

    Args:
        folder: where the file goes.

    Raises:
        UserError: the folder cannot be written to, or holds a file of such a name that this package did not write.
    """

    tables: ClassVar[Mapping[str, Sequence[str]]] = {SHAPE_ROWS_FILE: SHAPE_COLUMNS}

    def _collect(self, engine: Engine) -> None:
        self._rows += map(ShapeRow.of, engine.state.batch, engine.state.output)

    def _write(self) -> None:
        write_shape_rows(self.folder / SHAPE_ROWS_FILE, self._rows)
