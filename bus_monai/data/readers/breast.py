"""BrEaST, Breast-Lesions-USG (Pawłowska et al., Scientific Data 11, 2024, doi 10.1038/s41597-024-02984-z)."""

from __future__ import annotations

from pathlib import Path

from bus_monai.data.case import Case, Diagnosis
from bus_monai.data.readers.folder import require_files, require_folder
from bus_monai.data.readers.tables import read_xlsx_table

DIAGNOSES: dict[str, Diagnosis] = {"benign": "benign", "malignant": "malignant", "normal": "normal"}
TABLE = "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx"
COLUMNS = ("CaseID", "Image_filename", "Mask_tumor_filename", "Classification")


def is_breast(folder: Path) -> bool:
    """Whether ``folder`` looks like BrEaST: a clinical table, or an image ``case001.png`` with its tumour mask."""
    return any(folder.glob("BrEaST*clinical*.xlsx")) or any(folder.glob("case*_tumor.png"))


def read_breast(folder: str | Path) -> list[Case]:
    """Read ``case001.png``, ``case001_tumor.png``, ... and the clinical .xlsx that lists them.

    The images may lie in the folder of the table or below. Several masks of a case are separated by ``&``. Masks of
    other findings (``case001_other1.png``) are left out, since they are no tumours. The group is the column ``CaseID``,
    one patient each.

    Raises:
        UserError: there is no table, it lacks a column, or it lists files that are missing.
    """
    folder = require_folder(folder)
    table = next(iter(sorted(folder.glob("BrEaST*clinical*.xlsx"))), folder / TABLE)
    rows = read_xlsx_table(table, COLUMNS)
    files = {path.name: path for path in sorted(folder.rglob("case*.png"))}
    cases = []
    for row in rows:
        image = row["Image_filename"]
        masks = [name.strip() for name in row["Mask_tumor_filename"].split("&") if name.strip().endswith(".png")]
        # a file that is missing keeps the name it should have
        paths = [files.get(name, folder / name) for name in (image, *masks)]
        diagnosis = DIAGNOSES.get(row["Classification"].lower(), "unknown")
        cases.append(Case(Path(image).stem, paths[0], tuple(paths[1:]), f"patient_{row['CaseID']}", diagnosis))
    require_files((path for case in cases for path in (case.image, *case.masks)), table)
    return cases
