"""UDIAT, also called Dataset B (Yap et al., IEEE JBHI 22, 2018, doi 10.1109/JBHI.2017.2731873)."""

from __future__ import annotations

from pathlib import Path

from bus_monai.data.case import DIAGNOSES, Case, Diagnosis, to_diagnosis
from bus_monai.data.near_duplicates import with_groups
from bus_monai.data.readers.folder import raster_files, read_xlsx_table, require_files, require_folder, require_pairs
from bus_monai.errors import UserError

TABLE_FILE = "DatasetB.xlsx"


def is_udiat(folder: Path) -> bool:
    """Whether ``folder``, or one of its folders for a class, has ``original/`` and ``GT/``."""
    return bool(_parts(folder))


def read_udiat(folder: str | Path) -> list[Case]:
    """Read ``original/000001.png`` with ``GT/000001.png``.

    The diagnosis is in ``DatasetB.xlsx`` (columns ``Image``, a number, and ``Type``). A copy without this table may
    sort ``original/`` and ``GT/`` into ``benign/`` and ``malignant/``; without either the diagnosis is unknown. Every
    image is of another woman by the paper; should there be near-duplicates, they share a group.

    Raises:
        UserError: the folder is not UDIAT, the table lists missing files, or images or masks lack their partner.
    """
    folder = require_folder(folder)
    cases: list[Case] = []
    for part, diagnosis in _parts(folder).items():
        images = {path.stem: path for path in raster_files(part / "original")}
        masks = {path.stem: path for path in raster_files(part / "GT")}
        types = _types(part)
        require_pairs(images, masks, part)
        cases += [Case(n, path, (masks[n],), "", types.get(n, diagnosis)) for n, path in images.items()]
    if not cases:
        raise UserError(f"'{folder}' is no UDIAT folder: it must hold original/ and GT/ with files like 000001.png.")
    return with_groups(cases)


def _parts(folder: Path) -> dict[Path, Diagnosis]:
    parts: dict[Path, Diagnosis] = {folder: "unknown", **{folder / d: d for d in DIAGNOSES}}
    return {part: d for part, d in parts.items() if (part / "original").is_dir() and (part / "GT").is_dir()}


def _types(folder: Path) -> dict[str, Diagnosis]:
    table = folder / TABLE_FILE
    if not table.is_file():
        return {}
    rows = read_xlsx_table(table, ("Image", "Type"))
    types = {row["Image"].zfill(6): to_diagnosis(row["Type"]) for row in rows}
    require_files((folder / "original" / f"{name}.png" for name in types), table)
    return types
