"""Phantoms of any kind as a data set, written once into the cache folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from bus_monai.data.datalist import (
    DATALIST_FILE,
    Case,
    Datalist,
    Diagnosis,
    Shape,
    read_datalist,
    split_by_group,
    write_datalist,
)
from bus_monai.data.readers.folder import IMAGE_FOLDER, MASK_FOLDER, write_masks
from bus_monai.data.readers.shapes import WORD_OF_CLASS, write_shape_table
from bus_monai.errors import UserError, writing
from bus_monai.io.atomic import cache_folder, private_folder_beside, whole_folder


@dataclass(frozen=True)
class Phantom:
    """A generated image.

    Args:
        image: (H, W) uint8.
        masks: (H, W) bool, one per lesion; empty for a normal image.
        diagnosis: that of the image.
        shapes: one per lesion.
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
    """Write phantoms as PNG with one mask per lesion, ``datalist.json`` and ``mass_shapes.csv``, and return ``folder``.

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
        for kind in (IMAGE_FOLDER, MASK_FOLDER):
            (partial / kind).mkdir()
        bar = tqdm(phantoms, desc="generating phantoms", total=count, leave=False, disable=None)
        for i, phantom in enumerate(bar):
            id = f"{name}_{i:04d}"
            case = Case(id, partial / IMAGE_FOLDER / f"{id}.png", (), id, phantom.diagnosis)
            Image.fromarray(phantom.image).save(case.image)
            cases.append(replace(case, masks=write_masks(case, partial, phantom.masks)))
            rows += [(id, number, WORD_OF_CLASS[shape]) for number, shape in enumerate(phantom.shapes, start=1)]
        write_shape_table(partial, rows)
        write_datalist(partial, Datalist(**split_by_group(cases, shares, seed=seed), synthetic=True))
    return folder


def cached_dataset(name: str, write: Callable[[Path], object]) -> Path:
    """Return the folder ``name`` in the cache, a data set that ``write`` makes where it is not there.

    A set of which a file was removed is made anew.

    Raises:
        UserError: the cache folder cannot be written to.
    """
    folder = cache_folder() / name
    if not _is_complete(folder):
        with writing(folder, option="BUS_MONAI_CACHE"):
            _discard(folder)
            write(folder)
    return folder


def _is_complete(folder: Path) -> bool:
    try:
        read_datalist(folder)
    except UserError:
        return False
    return True


def _discard(folder: Path) -> None:
    """Remove ``folder`` at once for all other processes, unless one of them has completed it meanwhile."""
    if folder.exists() and not _is_complete(folder):
        private = private_folder_beside(folder)
        try:
            folder.replace(private / folder.name)
        except FileNotFoundError:
            pass  # another process was faster
        finally:
            shutil.rmtree(private, ignore_errors=True)
