"""Several data sets in one folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bus_monai.data.case import Case
from bus_monai.data.datalist import FILE, read_datalist
from bus_monai.data.readers.catalogue import recognise


def is_collection(folder: Path) -> bool:
    """Whether two or more folders in ``folder`` are data sets, prepared ones or of image files."""
    return len(_members(folder)) > 1


def read_collection(folder: Path) -> list[Case]:
    """Read all cases of the data sets in ``folder``; the name of each one's folder goes before its ids and groups.

    Raises:
        UserError: something in one of them is wrong.
    """
    cases = []
    for member in _members(folder):
        for case in _read(member):
            name = f"{member.name}_{case.id}"
            cases.append(replace(case, id=name, group=f"{member.name}_{case.group}", dataset=member.name))
    return cases


def _members(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and _is_data_set(path)]


def _is_data_set(folder: Path) -> bool:
    if (folder / FILE).is_file():
        return True
    known = recognise(folder)
    return known is not None and not known.convert


def _read(folder: Path) -> list[Case]:
    if (folder / FILE).is_file():
        return [case for _, cases in read_datalist(folder).sections() for case in cases]
    known = recognise(folder)
    assert known is not None
    return known.read(folder)
