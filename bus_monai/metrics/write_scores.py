"""The files of an evaluation that hold its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bus_monai.atomic_file import atomic_file
from bus_monai.metrics.aggregate import summarise_all
from bus_monai.metrics.case_table import CaseRow, write_case_table

CASES = "cases.csv"
"""Scores a case."""
SUMMARY = "summary.json"
"""Each aggregation rule with its means and intervals."""


def write_scores(folder: Path, rows: Sequence[CaseRow]) -> dict[str, dict[str, Any]]:
    """Write ``cases.csv`` and ``summary.json``, and return what the latter holds.

    Args:
        folder: where both go.
        rows: one a case.

    Returns:
        The summaries of :func:`~bus_monai.metrics.aggregate.summarise_all`.

    Raises:
        UserError: the table cannot be written.
    """
    write_case_table(folder / CASES, rows)
    summaries = summarise_all(rows)
    with atomic_file(folder / SUMMARY) as partial:
        partial.write_text(json.dumps(summaries, indent=2) + "\n", encoding="utf-8")
    return summaries
