"""Scores of each fold of a cross-validation, with their mean and standard deviation."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bus_monai.errors import UserError, reading
from bus_monai.io.atomic import write_table
from bus_monai.metrics.aggregate import means
from bus_monai.metrics.case_table import CaseRow

FOLDS_FILE = "folds.csv"
"""Scores of each fold over its cases with a lesion, with mean and standard deviation."""
FoldScores: TypeAlias = Mapping[str, Sequence[float]]
"""By metric the score of each fold."""


def score_folds(tables: Sequence[Sequence[CaseRow]]) -> FoldScores:
    """Score each fold by the rule ``lesion``; a metric that does not apply to one of them is left out.

    Args:
        tables: rows of each fold.
    """
    scores = [means(rows, "lesion") for rows in tables]
    return {name: [fold[name] for fold in scores] for name in scores[0] if all(name in fold for fold in scores)}


def fold_rows(scores: FoldScores) -> list[tuple[str, list[float]]]:
    """Return a row for each fold, and those of mean and sample standard deviation, as papers give them.

    Example:
        >>> fold_rows({"dice": [0.5, 0.7]})[2:]
        [('mean', [0.6]), ('standard deviation', [0.1414213562373095])]
    """
    values = np.array(list(scores.values())).T
    rows = [(str(fold), part.tolist()) for fold, part in enumerate(values)]
    return [*rows, ("mean", values.mean(axis=0).tolist()), ("standard deviation", values.std(axis=0, ddof=1).tolist())]


def write_folds(path: Path, scores: FoldScores) -> None:
    """Write ``folds.csv``.

    Raises:
        UserError: the file cannot be written.
    """
    write_table(path, ["fold", *scores], ([name, *values] for name, values in fold_rows(scores)), known=1)


def read_folds(folder: Path) -> FoldScores | None:
    """Read ``folds.csv`` of a folder, ``None`` where there is none: its scores are of no cross-validation.

    Raises:
        UserError: the file is broken.
    """
    path = folder / FOLDS_FILE
    if not path.is_file():
        return None
    remedy = "cross-validate again"
    with (
        reading(path, "CSV", errors=(ValueError, TypeError, csv.Error), remedy=remedy),
        path.open(newline="", encoding="utf-8") as file,
    ):
        rows = [row for row in csv.DictReader(file) if row.get("fold", "").isdecimal()]
        if not rows:
            raise UserError(f"'{path}' has no fold: {remedy}.", path=path)
        return {name: [float(row[name]) for row in rows] for name in rows[0] if name != "fold"}
