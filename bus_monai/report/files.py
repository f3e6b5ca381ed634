"""The files that a run leaves in its output folder, beside its scores."""

from __future__ import annotations

import csv
from pathlib import Path

HISTORY = "history.csv"
"""Metrics an epoch, from training."""
EXAMPLES = "examples.png"
"""Best to worst cases with contours, from evaluation."""
OVERLAYS = "overlays.png"
"""Best to worst cases with right and wrong pixels coloured, from evaluation."""
DETECTIONS = "detections.csv"
"""Found masses, from evaluation and inference of a detector."""
TRUTHS = "truths.csv"
"""Masses that there are, found or missed, from evaluation of a detector."""
FROC = "froc.png"
"""Sensitivity over false positives an image, from evaluation of a detector."""
COMPARISON = "comparison.csv"
"""Paired tests of each pair of models, from comparison."""
SHAPE_ROWS = "shapes.csv"
"""Truth and prediction a mass, from evaluation and inference of a shape classifier."""
CONFUSION = "confusion.png"
"""True against predicted shape, from evaluation."""
ROC = "roc.png"
"""Each shape against all others, from evaluation."""
FOLD_ROC = "roc_folds.png"
"""Mean of the shapes, averaged over folds."""
SHAPES_BY_COLUMN = "shapes_by_column.csv"
"""Predicted shape against a column of the cases, from evaluation."""
REPORT = "report.html"


def read_history(folder: Path) -> list[dict[str, float]]:
    """Read ``history.csv`` of ``folder``; an epoch lacks the values that it did not have."""
    with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
