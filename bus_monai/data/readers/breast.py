"""BrEaST, Breast-Lesions-USG (Pawłowska et al., Scientific Data 11, 2024, doi 10.1038/s41597-024-02984-z)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bus_monai.data.case import Case, to_diagnosis
from bus_monai.data.readers.folder import read_xlsx_table, require_files, require_folder
from bus_monai.data.readers.shapes import write_shape_table

TABLE_FILE = "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx"
NOT_GIVEN = "NA"
TABLE_COLUMNS = ("CaseID", "Image_filename", "Mask_tumor_filename", "Classification")


def is_breast(folder: Path) -> bool:
    """Whether ``folder`` looks like BrEaST: a clinical table, or an image ``case001.png`` with its tumor mask."""
    return any(folder.glob("BrEaST*clinical*.xlsx")) or any(folder.glob("case*_tumor.png"))


def read_breast(folder: str | Path) -> list[Case]:
    """Read ``case001.png``, ``case001_tumor.png``, ... and the clinical .xlsx that lists them.

    The images may lie in the folder of the table or below. Several masks of a case are separated by ``&``. Masks of
    other findings (``case001_other1.png``) are left out, since they are no tumors. The group is the column ``CaseID``,
    one patient each.

    Raises:
        UserError: there is no table, it lacks a column, or it lists files that are missing.
    """
    folder = require_folder(folder)
    table = _table(folder)
    rows = read_xlsx_table(table, TABLE_COLUMNS)
    files = {path.name: path for path in sorted(folder.rglob("case*.png"))}
    cases = []
    for row in rows:
        image = row["Image_filename"]
        # a file that is missing keeps the name it should have
        paths = [files.get(name, folder / name) for name in (image, *_masks(row))]
        diagnosis = to_diagnosis(row["Classification"])
        cases.append(Case(Path(image).stem, paths[0], tuple(paths[1:]), f"patient_{row['CaseID']}", diagnosis))
    require_files((path for case in cases for path in (case.image, *case.masks)), table)
    return cases


def write_breast_shapes(folder: Path, out: Path) -> None:
    """Write ``mass_shapes.csv`` into ``out``: the column ``Shape``, in capitals, of the cases with one tumor.

    The table has one word per case: it does not say to which of several tumors it belongs.
    """
    rows = []
    for row in read_xlsx_table(_table(folder), TABLE_COLUMNS):
        masks = _masks(row)
        word = row.get("Shape", "").upper() or NOT_GIVEN
        shape = word if len(masks) == 1 else NOT_GIVEN
        rows += [(Path(row["Image_filename"]).stem, number, shape) for number in range(1, len(masks) + 1)]
    write_shape_table(out, rows)


def _table(folder: Path) -> Path:
    return next(iter(sorted(folder.glob("BrEaST*clinical*.xlsx"))), folder / TABLE_FILE)


def _masks(row: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in row["Mask_tumor_filename"].split("&") if name.strip().endswith(".png")]
