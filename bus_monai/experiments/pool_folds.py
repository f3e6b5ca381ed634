"""From the tables of single folds to figures of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bus_monai.metrics.aggregate import means
from bus_monai.metrics.case_table import read_case_table
from bus_monai.metrics.classification import macro_auc
from bus_monai.metrics.roc import macro_roc
from bus_monai.metrics.shape_rows import read_shape_rows
from bus_monai.metrics.shape_summary import found_scores, summary_lines
from bus_monai.metrics.write_scores import CASES, SUMMARY, write_scores
from bus_monai.report.evaluation_report import write_evaluation_report
from bus_monai.report.files import CONFUSION, FOLD_ROC, ROC, SHAPE_ROWS
from bus_monai.report.shape_figures import fold_roc_figure
from bus_monai.report.shape_report import write_shape_report

Pooled = tuple[Mapping[str, float], Sequence[Path]]
"""Metrics for MLflow, and the files that were written, the one to read first at the end."""


def pool_cases(out: Path, folds: Sequence[Path]) -> Pooled:
    """Report on the segmented test cases of all folds together: ``cases.csv``, ``summary.json``, ``report.html``."""
    rows = [row for fold in folds for row in read_case_table(fold / CASES)]
    write_scores(out, rows)
    page = write_evaluation_report(out)
    return means(rows, "lesion"), [out / CASES, out / SUMMARY, page]


def pool_shapes(out: Path, folds: Sequence[Path]) -> Pooled:
    """Report on the classified test masses of all folds together, each told by the network that did not learn from it.

    Writes ``shapes.csv``, ``summary.json`` and the figures of an evaluation, and ``roc_folds.png``, the ROC averaged
    over folds, whose areas are in the summary.
    """
    tables = [read_shape_rows(fold / SHAPE_ROWS) for fold in folds]
    known = [found_scores(rows) for rows in tables]
    curves = [curve for scores, true in known if (curve := macro_roc(scores, true)) is not None]
    areas = [area for scores, true in known if not np.isnan(area := macro_auc(scores, true))]
    files = [out / name for name in (SHAPE_ROWS, CONFUSION, ROC)]
    more = {}
    if curves:
        fold_roc_figure(curves, areas).savefig(out / FOLD_ROC, dpi=110)
        files.append(out / FOLD_ROC)
        more = {"macro_auc_of_folds": {"mean": float(np.mean(areas)), "std": float(np.std(areas)), "each": areas}}
    summary = write_shape_report(out, [row for rows in tables for row in rows], **more)
    print(summary_lines(summary))
    figures = {key: summary[key]["value"] for key in ("accuracy", "macro_f1", "macro_auc") if summary.get(key)}
    return figures, [*files, out / SUMMARY]
