"""A published data set as a folder of image files with a datalist."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bus_monai.data.datalist import FILE, Datalist, write_datalist
from bus_monai.data.dataset import check_dataset, without_broken
from bus_monai.data.protocols import apply_protocol
from bus_monai.data.readers.catalogue import find_set
from bus_monai.data.readers.folder import require_folder
from bus_monai.data.readers.write_case import IMAGES, MASKS
from bus_monai.errors import UserError


def prepare_dataset(
    name: str, source: str | Path, out: str | Path, *, protocol: str, seed: int = 0, skip_broken: bool = False
) -> Datalist:
    """Copy or convert the images and masks that a protocol uses, and write their ``datalist.json`` last.

    Stopped half-way it leaves no datalist, and can be started again.

    Args:
        name: of the set, see ``bus-monai data list``.
        source: its folder as it was unpacked; only read.
        out: gets ``images/``, ``masks/``, ``datalist.json`` and further tables of the set.
        protocol: name of the split.
        seed: of the split.
        skip_broken: leave out the images that cannot be read, with a warning that names each.

    Returns:
        The cases in ``out`` by section.

    Raises:
        UserError: no such set or protocol, something is wrong in ``source``, or ``out`` is taken or not writable.
    """
    published = find_set(name)
    source, out = require_folder(source), Path(out).expanduser()
    if (out / FILE).is_file():
        raise UserError(f"'{out}' has a {FILE} already: give another folder, or remove it.")
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"'{out}' lies in '{source}', which is left as it is: give a folder elsewhere.")
    datalist = apply_protocol(protocol, published.read(source), seed)
    if skip_broken:
        datalist = without_broken(datalist)
    elif not published.convert:
        check_dataset(datalist, sections=[name for name, _ in datalist.sections()])
    try:
        for folder in (IMAGES, MASKS):
            (out / folder).mkdir(parents=True, exist_ok=True)
        sections: dict[str, Any] = {}
        with tqdm(total=sum(len(cases) for _, cases in datalist.sections()), desc=name, unit="image") as bar:
            for section, cases in datalist.sections():
                sections[section] = []
                for case in cases:
                    sections[section].append(published.write(case, out))
                    bar.update()
        datalist = replace(datalist, **sections)
        if published.write_tables:
            published.write_tables(source, out)
        write_datalist(out, datalist)
    except OSError as error:
        raise UserError(f"Cannot write into '{out}' ({error}): check its permissions and the space left.") from error
    return datalist
