"""Write the report of an evaluation of shapes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_monai.data.items import case_and_number
from bus_monai.data.readers.folder import read_csv_table
from bus_monai.errors import UserError
from bus_monai.io.atomic import write_json, write_table
from bus_monai.metrics.aggregate import FOLDS_FILE, SUMMARY_FILE
from bus_monai.metrics.shapes import ShapeRow, summarize_shapes, write_shape_rows
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.report.page import CONFUSION_FILE, FOLD_ROC_FILE, ROC_FILE, SHAPE_ROWS_FILE, interval, number
from bus_monai.report.paper import TABLES_FOLDER, remove_figure, save_figure, write_paper_table
from bus_monai.report.score_figures import confusion_figure, roc_figure

SHAPES_TABLE = "shapes"
ColumnValues = Mapping[tuple[str, int | None], str]


def write_shape_report(folder: Path, rows: Sequence[ShapeRow], **more: Any) -> dict[str, Any]:
    """Write ``shapes.csv``, ``summary.json``, ``confusion.png``, ``roc.png`` and a paper's table; return the summary.

    What lies beside them of earlier folds is removed.

    Args:
        folder: must exist.
        rows: one per mass.
        more: further entries of the summary.
    """
    (folder / FOLDS_FILE).unlink(missing_ok=True)
    remove_figure(folder / FOLD_ROC_FILE)
    write_shape_rows(folder / SHAPE_ROWS_FILE, rows)
    summary = summarize_shapes(rows) | more
    write_json(folder / SUMMARY_FILE, summary)
    if "confusion" in summary:
        lines = [
            [name, number(summary[key]["value"]), interval(summary[key])]
            for key, name in (("accuracy", "Accuracy"), ("macro_f1", "Macro F1"), ("macro_auc", "Macro AUC"))
            if summary[key]
        ]
        write_paper_table(folder / TABLES_FOLDER, SHAPES_TABLE, ["Measure", "Value", "95 % interval"], lines)
        save_figure(confusion_figure(summary["confusion"]), folder / CONFUSION_FILE)
        save_figure(roc_figure(rows), folder / ROC_FILE)
    return summary


def read_column(table: str | Path, column: str) -> ColumnValues:
    """Read a column by case and mass; the mass is ``None`` where the table has no column ``mass``.

    Args:
        table: CSV with the column ``id``, that of the case, and, where masses of a case differ, ``mass``, their number.
        column: such as a molecular subtype; an empty cell is not known.

    Raises:
        UserError: the table cannot be read, lacks a column, has a number of a mass that is none, or says two things of
            one mass.
    """
    path = Path(table).expanduser()
    values: dict[tuple[str, int | None], str] = {}
    for row in read_csv_table(path, ("id", column)):
        mass = row.get("mass")
        if mass is not None and not mass.isdecimal():
            raise UserError(
                f"'{path}' has the mass {mass!r} of '{row['id']}': give its number, or leave the column out."
            )
        key = (row["id"], None if mass is None else int(mass))
        if row[column] and values.setdefault(key, row[column]) != row[column]:
            of = row["id"] if mass is None else f"{row['id']}, mass {mass}"
            raise UserError(f"'{path}' gives '{of}' two values of '{column}': keep one row.")
    return values


def write_shapes_by_column(path: Path, rows: Sequence[ShapeRow], values: ColumnValues, column: str) -> list[str]:
    """Write one row per value of ``column``: masses, masses of each predicted shape, and their shares, as CSV.

    Shares are of the masses with that value that were found.

    Returns:
        Ids of the masses that the table says nothing of; they are left out.
    """
    counts: dict[str, Counter[str | None]] = defaultdict(Counter)
    missing = []
    for row in rows:
        case, number = case_and_number(row.id)
        value = values.get((case, number)) or values.get((case, None))
        if value is None:
            missing.append(row.id)
        else:
            counts[value][row.predicted] += 1
    lines = []
    for value, shapes in sorted(counts.items()):
        found = shapes.total() - shapes[None]
        shares = [f"{shapes[name] / found:.4f}" if found else "" for name in SHAPE_CLASSES]
        lines.append([value, shapes.total(), shapes[None], *(shapes[name] for name in SHAPE_CLASSES), *shares])
    columns = [column, "masses", "not_found", *SHAPE_CLASSES, *(f"{name}_share" for name in SHAPE_CLASSES)]
    write_table(path, columns, lines)
    return missing
