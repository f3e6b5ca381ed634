"""The tables that data sets come with."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

from bus_monai.errors import UserError


def read_csv_table(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[dict[str, str]]:
    """Read a CSV file with a header; names and values are stripped of spaces.

    Raises:
        UserError: it does not exist, cannot be read, or lacks one of ``columns``.
    """
    _require_table(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file, delimiter=delimiter)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"'{path}' cannot be read as CSV ({error}): download it again.") from error
    return _to_dicts(path, header, rows, columns)


def read_xlsx_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the first sheet of an .xlsx file, whose first row names the columns; empty cells become ``""``.

    Raises:
        UserError: it does not exist, cannot be read, or lacks one of ``columns``.
    """
    from openpyxl import load_workbook

    _require_table(path)
    try:
        workbook = load_workbook(path, read_only=True, data_only=True)
        try:
            header, *rows = ([_to_text(cell) for cell in row] for row in workbook.worksheets[0].values)
        finally:
            workbook.close()
    except (OSError, ValueError, KeyError, IndexError, BadZipFile) as error:
        raise UserError(f"'{path}' cannot be read as an .xlsx table ({error}): download it again.") from error
    return _to_dicts(path, header, rows, columns)


def _require_table(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"The table '{path}' does not exist: complete the download, which is of no use without it.")


def _to_text(cell: object) -> str:
    # spreadsheets keep whole numbers as floats
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if cell is None else str(cell)


def _to_dicts(
    path: Path, header: Iterable[str], rows: Iterable[Sequence[str]], columns: Sequence[str]
) -> list[dict[str, str]]:
    names = [name.strip() for name in header]
    missing = [column for column in columns if column not in names]
    if missing:
        raise UserError(f"'{path}' lacks the column '{missing[0]}': download it again.")
    return [row for row in (_row(names, values) for values in rows) if any(row.values())]


def _row(names: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    padded: Mapping[str, str] = dict.fromkeys(names, "")
    return {**padded, **{name: value.strip() for name, value in zip(names, values, strict=False)}}
