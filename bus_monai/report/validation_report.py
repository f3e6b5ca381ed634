"""The page that a site signs before it uses a model: what is in its images, and what the model makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from bus_monai.data.audit.audit_folder import Audit
from bus_monai.metrics.aggregate import summarize
from bus_monai.metrics.case_table import CaseRow
from bus_monai.report.page import REPORT_FILE, interval, number, write_page
from bus_monai.report.paper import TABLES_FOLDER, write_paper_table

POINTS_TABLE = "points"
MIN_IMAGES = 50
"""With a lesion, and without one: of fewer, a rate of a tenth has an interval that is wider than a fifth."""


def share(count: int, of: int) -> dict[str, Any]:
    """Return a rate with its 95 % interval (Wilson, JASA 22, 1927).

    Example:
        >>> share(45, 50)
        {'count': 45, 'of': 50, 'mean': 0.9, 'low': 0.786, 'high': 0.957}
    """
    if not of:
        return {"count": 0, "of": 0, "mean": None, "low": None, "high": None}
    found = binomtest(count, of).proportion_ci(method="wilson")
    return {
        "count": count,
        "of": of,
        "mean": round(count / of, 3),
        "low": round(float(found.low), 3),
        "high": round(float(found.high), 3),
    }


def operating_point(rows: Sequence[CaseRow]) -> dict[str, Any]:
    """Return what one operating point finds and marks.

    Returns:
        ``found``, lesions of all images that are found; ``seen``, images with a lesion on which one is found;
        ``marked``, images without a lesion that are marked all the same; ``dice``, of images with a lesion, its mean
        with an interval over groups, ``None`` where there are none.
    """
    ill, normal = [row for row in rows if row.has_lesion], [row for row in rows if not row.has_lesion]
    dice = next((asdict(score) for score in summarize(rows, "lesion") if score.metric == "dice"), None) if ill else None
    return {
        "found": share(sum(row.lesions_found or 0 for row in ill), sum(row.lesions for row in ill)),
        "seen": share(sum(bool(row.lesions_found) for row in ill), len(ill)),
        "marked": share(sum(bool(row.false_positive) for row in normal), len(normal)),
        "dice": dice,
    }


def write_validation_report(
    tables: Mapping[str, Sequence[CaseRow]], audit: Audit, words: Mapping[str, str], folder: Path
) -> Path:
    """Write ``report.html`` and return its path.

    Args:
        tables: rows of all images by operating point.
        audit: of the images.
        words: what was measured, in words.
        folder: that also holds the pages of audit and evaluations.
    """
    rows = next(iter(tables.values()))
    counts = {"with a lesion": sum(row.has_lesion for row in rows), "without": sum(not row.has_lesion for row in rows)}
    points = {name: operating_point(of_point) for name, of_point in tables.items()}
    lines = [
        [
            name,
            *(_rate(point[key]) for key in ("found", "seen", "marked")),
            f"{number(point['dice']['mean'])} {interval(point['dice'])}" if point["dice"] else "",
        ]
        for name, point in points.items()
    ]
    header = ["Sensitivity", "Lesions found", "Images with a lesion marked on one", "Normal images marked", "Dice"]
    write_paper_table(folder / TABLES_FOLDER, POINTS_TABLE, header, lines)
    return write_page(
        folder / REPORT_FILE,
        "validation_report.html.jinja",
        title="Validation at a site",
        words=words,
        counts=counts,
        few=[name for name, count in counts.items() if count < MIN_IMAGES],
        least=MIN_IMAGES,
        groups=len({row.group for row in rows}),
        findings={kind: len(found) for kind, found in audit.to_dict()["findings"].items() if found},
        duplicates=len(audit.duplicate_groups),
        points=points,
    )


def _rate(rate: Mapping[str, Any]) -> str:
    return f"{rate['mean']} [{rate['low']}, {rate['high']}] of {rate['of']}" if rate["of"] else ""
