"""The table of an evaluation, one row per case, and its parts by diagnosis and size."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from bus_monai.data.datalist import Diagnosis
from bus_monai.errors import UserError, check_columns, reading
from bus_monai.io.atomic import write_table
from bus_monai.metrics.findings import Finding
from bus_monai.metrics.segmentation import BIN_COUNT, CaseScores

CASE_KEYS = ("id", "group", "diagnosis")
CASE_COLUMNS = (*CASE_KEYS, *(field.name for field in fields(CaseScores)))
"""Columns of the table, in this order."""
_BOOLEANS = {"True": True, "False": False}


@dataclass(frozen=True, kw_only=True)
class CaseRow(CaseScores):
    """A row of the table: id, group, diagnosis and scores of a case.

    Args:
        id: identity of the case; networks that are scored together, such as trainings of a model, have a row each.
        group: patient or duplicate group; cases of a group are not independent.
        diagnosis: diagnosis of the image.
    """

    id: str
    group: str
    diagnosis: Diagnosis

    @classmethod
    def of(cls, scores: CaseScores, *, id: str, group: str, diagnosis: Diagnosis) -> CaseRow:
        """Make a row of the scores of a case."""
        return cls(**asdict(scores), id=id, group=group, diagnosis=diagnosis)


def write_case_table(path: str | Path, rows: Iterable[CaseRow]) -> None:
    """Write a table as CSV: UTF-8, ``None`` as an empty field, numbers with all their digits,
    histograms as ``bin:count`` where there is a count, findings as ``probability:lesion``.

    The file appears complete or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    write_table(
        Path(path), CASE_COLUMNS, ([_to_text(getattr(row, name), name) for name in CASE_COLUMNS] for row in rows)
    )


def read_case_table(path: str | Path) -> list[CaseRow]:
    """Read a table that :func:`write_case_table` wrote; rows equal those written.

    Raises:
        UserError: the file cannot be read, lacks a column, holds a value that does not fit its column, or a case more
            often than another.
    """
    remedy = "give a table of cases, such as cases.csv"
    with (
        reading(path, "CSV", errors=(UnicodeDecodeError, csv.Error), remedy=remedy),
        Path(path).open(newline="", encoding="utf-8") as file,
    ):
        reader = csv.DictReader(file, strict=True)
        check_columns(path, CASE_COLUMNS, reader.fieldnames, remedy=remedy)
        rows = [_to_row(record, f"'{path}', line {reader.line_num}") for record in reader]
    counts = Counter(row.id for row in rows)
    if more := [id for id, count in counts.items() if count > min(counts.values())]:
        raise UserError(f"'{path}' holds the case '{more[0]}' more often than others: {remedy}.", path=path)
    return rows


def _to_text(value: Any, column: str) -> str:
    if value is None:
        return ""
    if column == "findings":
        return " ".join(f"{float(finding.probability)!r}:{finding.lesion}" for finding in value)
    if isinstance(value, tuple):
        return " ".join(f"{bin}:{count}" for bin, count in enumerate(value) if count)
    return repr(float(value)) if isinstance(value, float) else str(value)


def _to_row(record: dict[str, str | None], where: str) -> CaseRow:
    values = {}
    for name in CASE_COLUMNS:
        text = record[name]
        try:
            values[name] = _from_text(text, name)
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{where} has {text!r} in the column {name!r}: restore the file or evaluate again."
            ) from error
    return CaseRow(**values)


_HINTS = get_type_hints(CaseRow)


def _from_text(text: str | None, column: str) -> Any:
    if text is None:
        raise ValueError("the line is too short")
    hint = _HINTS[column]
    if column == "diagnosis" and text not in get_args(Diagnosis):
        raise ValueError("no diagnosis")
    if hint is bool:
        return _BOOLEANS[text]
    if hint is int:
        return int(text)
    if hint is float:
        return float(text)
    if hint == tuple[Finding, ...]:
        told = (pair.partition(":") for pair in text.split())
        return tuple(Finding(float(probability), int(lesion)) for probability, _, lesion in told)
    if hint == tuple[int, ...]:
        counts = {int(bin): int(count) for bin, _, count in (pair.partition(":") for pair in text.split())}
        return tuple(counts.pop(bin, 0) for bin in range(BIN_COUNT))
    if column in CASE_KEYS:
        return text
    return float(text) if text else None


def by_diagnosis(rows: Sequence[CaseRow]) -> dict[str, list[CaseRow]]:
    """Return the cases with a lesion by diagnosis, in alphabetical order."""
    lesions = [row for row in rows if row.has_lesion]
    return {name: [r for r in lesions if r.diagnosis == name] for name in sorted({r.diagnosis for r in lesions})}


def by_lesion_size(rows: Sequence[CaseRow]) -> dict[str, list[CaseRow]]:
    """Return the cases with a lesion in thirds by the share of the image that it fills.

    Shares, not pixels, so that images of different size compare. Fewer than three cases are not divided.
    """
    lesions = [row for row in rows if row.has_lesion]
    if len({row.id for row in lesions}) < 3:
        return {}
    shares = np.array([row.true_area_px / (row.tp + row.fp + row.fn + row.tn) for row in lesions])
    first, second = np.quantile(shares, [1 / 3, 2 / 3])
    third = np.digitize(shares, [first, second], right=True)
    names = (
        f"small, up to {first:.1%} of the image",
        f"medium, up to {second:.1%}",
        f"large, up to {shares.max():.1%}",
    )
    parts = {name: [r for r, t in zip(lesions, third, strict=True) if t == i] for i, name in enumerate(names)}
    return {name: part for name, part in parts.items() if part}
