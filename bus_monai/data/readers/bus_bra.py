"""BUS-BRA (Gómez-Flores et al., Medical Physics 51, 2024, doi 10.1002/mp.16812)."""

from __future__ import annotations

from pathlib import Path

from bus_monai.data.case import Case, to_diagnosis
from bus_monai.data.readers.folder import read_csv_table, require_files, require_folder

TABLE_FILE = "bus_data.csv"


def is_bus_bra(folder: Path) -> bool:
    """Whether ``folder`` looks like BUS-BRA: it has ``bus_data.csv`` and ``Images/``."""
    return (folder / TABLE_FILE).is_file() and (folder / "Images").is_dir()


def read_bus_bra(folder: str | Path) -> list[Case]:
    """Read ``Images/bus_0001-l.png``, ``Masks/mask_0001-l.png`` and ``bus_data.csv`` with ID, Case and Pathology.

    The group is the patient, the column ``Case``; the letter in a name (l, r or s) tells the images of a patient apart.

    Raises:
        UserError: there is no table, it lacks a column, or it lists files that are missing.
    """
    folder = require_folder(folder)
    cases = []
    for row in read_csv_table(folder / TABLE_FILE, ("ID", "Case", "Pathology")):
        name = row["ID"]
        mask = folder / "Masks" / f"mask_{name.removeprefix('bus_')}.png"
        image, diagnosis = folder / "Images" / f"{name}.png", to_diagnosis(row["Pathology"])
        cases.append(Case(name, image, (mask,), f"patient_{row['Case']}", diagnosis))
    require_files((path for case in cases for path in (case.image, *case.masks)), folder / TABLE_FILE)
    return cases
