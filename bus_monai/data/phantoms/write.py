"""Phantoms of any kind as a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from bus_monai.data.case import Case, Diagnosis
from bus_monai.data.datalist import DATALIST_FILE, Datalist, split_by_group, write_datalist
from bus_monai.data.phantoms.anatomy import Shape
from bus_monai.data.readers.folder import IMAGES, MASKS, write_masks
from bus_monai.data.readers.shapes import WORD_OF_CLASS, write_shape_table
from bus_monai.io.atomic import whole_folder


@dataclass(frozen=True)
class Phantom:
    """A generated image.

    Args:
        image: (H, W) uint8.
        masks: (H, W) bool, one a lesion; empty for a normal image.
        diagnosis: that of the image.
        shapes: one a lesion.
    """

    image: NDArray[np.uint8]
    masks: tuple[NDArray[np.bool_], ...]
    diagnosis: Diagnosis
    shapes: tuple[Shape, ...]


def write_phantom_set(
    folder: Path,
    name: str,
    phantoms: Iterable[Phantom],
    shares: Mapping[str, float],
    *,
    count: int,
    seed: int,
) -> Path:
    """Write phantoms as PNG with a mask a lesion, ``datalist.json`` and ``mass_shapes.csv``, and return ``folder``.

    Args:
        folder: must not exist yet, or be left by the winner of two processes that write it.
        name: what the ids begin with.
        phantoms: drawn one after the other.
        shares: of the sections.
        count: how many phantoms there are.
        seed: of the split.

    Raises:
        UserError: there are fewer phantoms than sections.
    """
    cases, rows = [], []
    with whole_folder(folder, last=DATALIST_FILE) as partial:
        for kind in (IMAGES, MASKS):
            (partial / kind).mkdir()
        bar = tqdm(phantoms, desc="generating phantoms", total=count, leave=False)
        for i, phantom in enumerate(bar):
            id = f"{name}_{i:04d}"
            case = Case(id, partial / IMAGES / f"{id}.png", (), id, phantom.diagnosis)
            Image.fromarray(phantom.image).save(case.image)
            cases.append(replace(case, masks=write_masks(case, partial, phantom.masks)))
            rows += [(id, number, WORD_OF_CLASS[shape]) for number, shape in enumerate(phantom.shapes, start=1)]
        write_shape_table(partial, rows)
        write_datalist(partial, Datalist(**split_by_group(cases, shares, seed=seed), synthetic=True))
    return folder
