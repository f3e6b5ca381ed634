"""The curves of one model on the images it learnt from and on those it did not, in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.operating_curves import operating_curves
from bus_monai.report.operating_figure import operating_figure


def write_split_curves(tables: Mapping[str, Sequence[CaseRow]], path: Path) -> Path:
    """Draw ROC, precision and recall, and calibration of each split.

    Args:
        tables: rows of each split, by its name; a split without a pixel of lesion has no curve.
        path: of the PNG.

    Returns:
        ``path``.
    """
    curves = {name: curve for name, rows in tables.items() if (curve := operating_curves(rows)) is not None}
    operating_figure(curves).savefig(path, dpi=110)
    return path
