"""Helpers of the readers: folders, tables, ids, and writing a case."""

from __future__ import annotations

import csv
import logging
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.datalist import Case
from bus_monai.errors import UserError, check_columns, reading
from bus_monai.io.image import RASTER_SUFFIXES
from bus_monai.io.opened import open_regular, special_kind

logger = logging.getLogger("bus_monai")
IMAGE_FOLDER = "images"
MASK_FOLDER = "masks"


def case_id(stem: str) -> str:
    """Turn the stem of a file into an id: other signs than ASCII letters, digits, ``-``, ``_``, ``.`` become ``_``."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).lstrip("._-").rstrip("_")
    return name or "case"


def require_folder(folder: str | Path) -> Path:
    """Return ``folder`` as a path.

    Raises:
        UserError: it is a file, such as the archive that was downloaded, or does not exist.
    """
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise UserError(f"'{folder}' is a file: unpack it and give the folder.")
    if not folder.is_dir():
        raise UserError(f"'{folder}' does not exist: give the folder of the unpacked data set.")
    return folder


def require_files(files: Iterable[Path], table: Path) -> None:
    """Check that all ``files`` that ``table`` lists, in its folder or below, are there.

    Raises:
        UserError: some are missing; the message says how many, and names the first one.
    """
    missing = [file for file in files if not file.is_file()]
    if missing:
        first = missing[0].relative_to(table.parent).as_posix()
        raise UserError(
            f"'{table}' lists files that are missing ({len(missing)}, the first is '{first}'): complete the download."
        )


def require_pairs(images: Mapping[str, Path], masks: Mapping[str, Path], folder: Path) -> None:
    """Check that images and masks have the same keys.

    Raises:
        UserError: there are images without masks, or masks without images; the first one is named.
    """
    for kind, files, other, others in (("image", images, "mask", masks), ("mask", masks, "image", images)):
        lone = [files[key].name for key in sorted(files.keys() - others.keys())]
        if lone:
            raise UserError(
                f"'{folder}' holds {kind}s without {other} ({len(lone)}, the first is '{lone[0]}'): add what is "
                f"missing or remove these {kind}s."
            )


def raster_files(folder: Path) -> list[Path]:
    """Return the PNG and JPEG files of ``folder`` by name, but hidden ones; none if there is no such folder.

    Pipes, devices and sockets are left out with a warning.
    """
    if not folder.is_dir():
        return []
    named = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in RASTER_SUFFIXES and not path.name.startswith(".")
    )
    special = {path: kind for path in named if (kind := special_kind(path))}
    for path, kind in special.items():
        logger.warning("Left out: '%s' is %s", path, kind)
    return [path for path in named if path not in special]


DOWNLOAD_AGAIN = "download it again"


def read_csv_table(
    path: Path, columns: Sequence[str], delimiter: str = ",", *, remedy: str = DOWNLOAD_AGAIN
) -> list[dict[str, str]]:
    """Read a CSV file with a header; names and values are stripped of spaces.

    Args:
        path: the file.
        columns: those that it must have.
        delimiter: between two of them.
        remedy: what to do about a table that is another.

    Raises:
        UserError: it does not exist, cannot be read, or lacks one of ``columns``.
    """
    _require_table(path)
    with (
        reading(path, "CSV", errors=(ValueError, csv.Error), remedy=remedy),
        path.open(newline="", encoding="utf-8-sig") as file,
    ):
        header, *rows = csv.reader(file, delimiter=delimiter)
    return _to_dicts(path, header, rows, columns, remedy)


def read_xlsx_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the first sheet of an .xlsx file, whose first row names the columns; empty cells become ``""``.

    Raises:
        UserError: it does not exist, cannot be read, or lacks one of ``columns``.
    """
    from openpyxl import load_workbook

    _require_table(path)
    errors = (ValueError, KeyError, IndexError, BadZipFile)
    with reading(path, "an .xlsx table", errors=errors, remedy=DOWNLOAD_AGAIN):
        workbook = load_workbook(path, read_only=True, data_only=True)
        try:
            header, *rows = ([_to_text(cell) for cell in row] for row in workbook.worksheets[0].values)
        finally:
            workbook.close()
    return _to_dicts(path, header, rows, columns, DOWNLOAD_AGAIN)


def _require_table(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"The table '{path}' does not exist: complete the download, which is of no use without it.")


def _to_text(cell: object) -> str:
    # spreadsheets keep whole numbers as floats
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if cell is None else str(cell)


def _to_dicts(
    path: Path, header: Iterable[str], rows: Iterable[Sequence[str]], columns: Sequence[str], remedy: str
) -> list[dict[str, str]]:
    names = [name.strip() for name in header]
    check_columns(path, columns, names, remedy=remedy)
    return [row for row in (_row(names, values) for values in rows) if any(row.values())]


def _row(names: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    padded: Mapping[str, str] = dict.fromkeys(names, "")
    return {**padded, **{name: value.strip() for name, value in zip(names, values, strict=False)}}


def copy_case(case: Case, out: Path) -> Case:
    """Copy the files of ``case`` into ``out``; return the case there."""
    masks = []
    for number, mask in enumerate(case.masks, start=1):
        masks.append(mask_path(case, out, number).with_suffix(mask.suffix.lower()))
        _copy(mask, masks[-1])
    return replace(case, image=copy_image(case, out), masks=tuple(masks))


def copy_image(case: Case, out: Path) -> Path:
    """Copy the image of ``case`` into ``out``; return its path there."""
    path = out / IMAGE_FOLDER / f"{case.id}{case.image.suffix.lower()}"
    _copy(case.image, path)
    return path


def _copy(source: Path, target: Path) -> None:
    with reading(source):
        file = open_regular(source)
    with file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy)


def write_masks(case: Case, out: Path, masks: Iterable[NDArray[np.bool_]]) -> tuple[Path, ...]:
    """Write masks (H, W) of ``case`` into ``out`` as PNG files of 0 and 255; return their paths."""
    paths = []
    for number, mask in enumerate(masks, start=1):
        paths.append(mask_path(case, out, number))
        Image.fromarray(mask.astype(np.uint8) * 255).save(paths[-1])
    return tuple(paths)


def mask_path(case: Case, out: Path, number: int) -> Path:
    """Return where the mask of the lesion ``number``, counted from 1, goes."""
    # always with a number, so that the second mask of `a` and the first of `a_2` differ
    return out / MASK_FOLDER / f"{case.id}_{number}.png"
