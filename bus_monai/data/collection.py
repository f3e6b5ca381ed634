"""Several data sets in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from bus_monai.data.case import Case
from bus_monai.data.datalist import FILE, read_datalist
from bus_monai.data.readers.catalogue import recognise


def read_collection(folder: Path) -> list[Case] | None:
    """Read all cases of the data sets in ``folder``; the name of each one's folder goes before its ids and groups.

    Returns:
        The cases, or ``None`` unless two or more folders in ``folder`` are data sets, prepared ones or of image files.

    Raises:
        UserError: something in one of them is wrong.
    """
    members = list(_members(folder))
    if len(members) < 2:
        return None
    cases = []
    for member, read in members:
        for case in read(member):
            name = f"{member.name}_{case.id}"
            cases.append(replace(case, id=name, group=f"{member.name}_{case.group}", dataset=member.name))
    return cases


def _members(folder: Path) -> Iterator[tuple[Path, Callable[[Path], list[Case]]]]:
    """Yield each data set in ``folder`` with what reads it."""
    for path in sorted(folder.iterdir()):
        if (path / FILE).is_file():
            yield path, _read_prepared
        elif path.is_dir() and (known := recognise(path)) is not None and not known.convert:
            yield path, known.read


def _read_prepared(folder: Path) -> list[Case]:
    return [case for _, cases in read_datalist(folder).sections() for case in cases]
