"""What a change of the images costs, case by case."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bus_monai.atomic_file import atomic_file
from bus_monai.metrics.aggregate import summarise
from bus_monai.metrics.case_table import CaseRow

ROBUSTNESS = "robustness.json"
"""Scores under each perturbation, from an evaluation with ``--robustness``."""
UNDISTURBED = "undisturbed"


def compare_robustness(
    plain: Sequence[CaseRow], disturbed: Mapping[str, Sequence[CaseRow]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Score each perturbation, and its difference to the undisturbed images.

    The interval of a difference is paired: it is the bootstrap interval over groups of the differences of the cases.

    Args:
        plain: scores of the undisturbed images.
        disturbed: scores of the same cases by the name of the perturbation.

    Returns:
        ``undisturbed`` and each perturbation, in this order; for each ``dice``, over the cases with a lesion, and
        ``false_positive_rate``, over the normal ones, and, but for the first, ``dice_difference`` and
        ``false_positive_rate_difference``: ``mean``, ``low`` and ``high`` as plain values. What no case falls under is
        left out.

    Raises:
        ValueError: a perturbation lacks a case of the undisturbed images or has another one.
    """
    table = {UNDISTURBED: _scores(plain)}
    for name, rows in disturbed.items():
        differences = {f"{key}_difference": value for key, value in _scores(_differences(name, plain, rows)).items()}
        table[name] = _scores(rows) | differences
    return table


def write_robustness(folder: Path, table: Mapping[str, Any]) -> Path:
    """Write ``robustness.json``."""
    path = folder / ROBUSTNESS
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    return path


def _scores(rows: Sequence[CaseRow]) -> dict[str, dict[str, Any]]:
    summaries = [*summarise(rows, "lesion"), *summarise(rows, "normal")]
    wanted = {summary.metric: asdict(summary) for summary in summaries}
    return {
        metric: {key: wanted[metric][key] for key in ("mean", "low", "high")}
        for metric in ("dice", "false_positive_rate")
        if metric in wanted
    }


def _differences(name: str, plain: Sequence[CaseRow], disturbed: Sequence[CaseRow]) -> list[CaseRow]:
    by_id = {row.id: row for row in disturbed}
    different = by_id.keys() ^ {row.id for row in plain}
    if different:
        raise ValueError(f"the images under {name!r} are others than the undisturbed, such as {min(different)!r}.")
    rows = []
    for row in plain:
        other = by_id[row.id]
        dice = None if row.dice is None or other.dice is None else other.dice - row.dice
        # a difference of truth values is -1, 0 or 1, of which the rules take the mean as of any number
        false_positive: Any = int(other.false_positive) - int(row.false_positive)
        rows.append(replace(row, dice=dice, false_positive=false_positive))
    return rows
