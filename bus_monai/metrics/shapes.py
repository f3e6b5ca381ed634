"""The table of classified masses, and its summary."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import reading
from bus_monai.io.atomic import write_table
from bus_monai.metrics.classification import summarize_classes
from bus_monai.networks.shape_cnn import SHAPE_CLASSES

SHAPE_COLUMNS = ("id", "group", "truth", "predicted", *SHAPE_CLASSES)
SHAPE_FIGURES = ("accuracy", "macro_f1", "macro_auc")


@dataclass(frozen=True)
class ShapeRow:
    """A mass and what the classifier says of it.

    Args:
        id: of the mass.
        group: patient; masses of a group are not independent.
        truth: its shape; ``None`` where not known.
        probabilities: of irregular, lobular, oval and round; empty where the mass was not found in a predicted mask.
    """

    id: str
    group: str
    truth: str | None
    probabilities: tuple[float, ...]

    @classmethod
    def of(cls, item: Mapping[str, Any], output: Mapping[str, Any]) -> ShapeRow:
        """Make a row of an evaluator's item and output, whose ``pred`` (4,) holds probabilities."""
        truth = SHAPE_CLASSES[int(item["label"])] if "label" in item else None
        # an empty mask is a mass that a segmenter missed
        found = bool(item["image"].any())
        values = output["pred"].detach().double().cpu().tolist() if found else ()
        return cls(str(item["id"]), str(item.get("group", item["id"])), truth, tuple(values))

    @property
    def predicted(self) -> str | None:
        """The most probable shape; ``None`` where the mass was not found."""
        return SHAPE_CLASSES[int(np.argmax(self.probabilities))] if self.probabilities else None


def write_shape_rows(path: Path, rows: Iterable[ShapeRow]) -> None:
    """Write a table as CSV: ``None`` and what is not known as an empty field, numbers with all their digits.

    Raises:
        UserError: the file cannot be written.
    """
    nothing = [None] * len(SHAPE_CLASSES)
    write_table(
        path,
        SHAPE_COLUMNS,
        ((row.id, row.group, row.truth, row.predicted, *(row.probabilities or nothing)) for row in rows),
    )


def read_shape_rows(path: Path) -> list[ShapeRow]:
    """Read a table that :func:`write_shape_rows` wrote; rows equal those written.

    Raises:
        UserError: it cannot be read or lacks a column.
    """
    remedy = "give the shapes.csv of a run"
    with (
        reading(path, "a table of shapes", errors=(KeyError, ValueError, csv.Error), remedy=remedy),
        path.open(newline="", encoding="utf-8") as file,
    ):
        return [
            ShapeRow(
                row["id"],
                row["group"],
                row["truth"] or None,
                tuple(float(row[name]) for name in SHAPE_CLASSES if row[name]),
            )
            for row in csv.DictReader(file, strict=True)
        ]


def found_scores(rows: Sequence[ShapeRow]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return probabilities (N, 4) and class numbers (N,) of the masses that were found and whose shape is known.

    Example:
        >>> rows = [ShapeRow("a", "a", "oval", (0.1, 0.2, 0.6, 0.1)), ShapeRow("b", "b", "oval", ())]
        >>> found_scores(rows)
        (array([[0.1, 0.2, 0.6, 0.1]]), array([2]))
    """
    known = [row for row in rows if row.truth is not None and row.probabilities]
    true = np.array([SHAPE_CLASSES.index(row.truth) for row in known if row.truth is not None], dtype=np.int64)
    return np.array([row.probabilities for row in known]).reshape(-1, len(SHAPE_CLASSES)), true


def summarize_shapes(rows: Sequence[ShapeRow]) -> dict[str, Any]:
    """Compute accuracy, macro F1 and macro AUC with 95 % intervals over groups, recall and AUC of each class.

    All of them are of the masses that were found. ``not_found`` counts the others, and ``accuracy_of_all`` takes these
    for wrong.

    Example:
        >>> rows = [ShapeRow("a", "a", "oval", (0.1, 0.2, 0.6, 0.1)), ShapeRow("b", "b", "oval", ())]
        >>> summary = summarize_shapes(rows)
        >>> summary["masses"], summary["not_found"], summary["accuracy"]["value"], summary["accuracy_of_all"]
        (2, 1, 1.0, 0.5)
    """
    missed = sum(not row.probabilities for row in rows)
    summary: dict[str, Any] = {"masses": len(rows), "not_found": missed, "classes": list(SHAPE_CLASSES)}
    scores, true = found_scores(rows)
    if not len(true):
        return summary | {"accuracy_of_all": 0.0}
    groups = [row.group for row in rows if row.truth is not None and row.probabilities]
    figures = summarize_classes(scores, true, groups)
    right = int(figures.confusion.diagonal().sum())
    return summary | {
        "accuracy_of_all": right / len(rows),
        "accuracy": asdict(figures.accuracy),
        "macro_f1": asdict(figures.macro_f1),
        "macro_auc": asdict(figures.macro_auc) if figures.macro_auc else None,
        "by_class": {name: asdict(one) for name, one in zip(SHAPE_CLASSES, figures.classes, strict=True)},
        "confusion": figures.confusion.tolist(),
    }


def shape_scores(rows: Sequence[ShapeRow]) -> dict[str, float]:
    """Compute accuracy, macro F1 and macro AUC of the masses that were found; what applies to none is left out.

    Example:
        >>> shape_scores([ShapeRow("a", "a", "oval", (0.1, 0.2, 0.6, 0.1)), ShapeRow("b", "b", "oval", ())])
        {'accuracy': 1.0, 'macro_f1': 1.0}
    """
    scores, true = found_scores(rows)
    if not len(true):
        return {}
    figures = summarize_classes(scores, true, [""] * len(true), resamples=0)
    return {name: figure.value for name in SHAPE_FIGURES if (figure := getattr(figures, name)) is not None}


def summary_lines(summary: dict[str, Any]) -> str:
    """Say a summary in words: the figures with their intervals, and the confusion matrix."""
    lines = [f"{summary['masses']} masses, {summary['not_found']} of them not found."]
    for key, text in (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("macro_auc", "macro AUC, one against all")):
        if figure := summary.get(key):
            ends = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
            lines.append(f"{text} {figure['value']:.3f}{ends}")
    if "confusion" in summary:
        width = max(map(len, SHAPE_CLASSES)) + 2
        lines.append("true \\ told".ljust(12) + "".join(name.rjust(width) for name in SHAPE_CLASSES))
        for name, counts in zip(SHAPE_CLASSES, summary["confusion"], strict=True):
            lines.append(name.ljust(12) + "".join(str(count).rjust(width) for count in counts))
    return "\n".join(lines)
