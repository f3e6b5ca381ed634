"""The masses in a folder of masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from bus_monai.data.mass_items import mass_id
from bus_monai.errors import UserError
from bus_monai.source import NIFTI_SUFFIXES, RASTER_SUFFIXES, image_stem, source_kind
from bus_monai.transforms.load_mass import components, read_mask_file
from bus_monai.transforms.mass_crop import crop_mass


def masses_of_folder(folder: str | Path) -> list[dict[str, Any]]:
    """List the masses in the masks below ``folder`` (PNG, JPEG, NIfTI, DICOM), one item a connected component.

    Returns:
        Items with ``id`` (``a/b_m2`` is the second component, from the top, of ``a/b.png``) and ``image`` (1, 64, 64).
        Two masks of one stem keep their suffix in the id. A mask without a mass gives none.

    Raises:
        UserError: there is no such folder, it holds no mask or no mass, or a mask cannot be read.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"'{folder}' is no folder: give dataset_dir a folder of masks.")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_mask(path)]
    if not paths:
        raise UserError(f"'{folder}' holds no PNG, JPEG, NIfTI or DICOM file: give another dataset_dir.")
    stems = [path.with_name(image_stem(path.name)) for path in paths]
    items = []
    for path, stem in zip(tqdm(paths, desc="reading masks", disable=len(paths) < 100, leave=False), stems, strict=True):
        name = stem if stems.count(stem) == 1 else path
        for number, part in enumerate(components(read_mask_file(path)), start=1):
            id = mass_id(name.relative_to(folder).as_posix(), number)
            items.append({"id": id, "image": crop_mass(torch.from_numpy(part)[None])})
    if not items:
        raise UserError(f"The {len(paths)} masks in '{folder}' are empty: there is no mass to classify.")
    return items


def _is_mask(path: Path) -> bool:
    promised = path.name.lower().endswith(RASTER_SUFFIXES + NIFTI_SUFFIXES)
    return not path.name.startswith(".") and (promised or source_kind(path) is not None)
