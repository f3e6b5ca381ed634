"""Writing a case of a published set into a prepared folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.case import Case

IMAGES = "images"
MASKS = "masks"


def copy_case(case: Case, out: Path) -> Case:
    """Copy the files of ``case`` into ``out``; return the case there."""
    masks = []
    for number, mask in enumerate(case.masks, start=1):
        masks.append(mask_path(case, out, number).with_suffix(mask.suffix.lower()))
        shutil.copyfile(mask, masks[-1])
    return replace(case, image=copy_image(case, out), masks=tuple(masks))


def copy_image(case: Case, out: Path) -> Path:
    """Copy the image of ``case`` into ``out``; return its path there."""
    path = out / IMAGES / f"{case.id}{case.image.suffix.lower()}"
    shutil.copyfile(case.image, path)
    return path


def write_masks(case: Case, out: Path, masks: Iterable[NDArray[np.bool_]]) -> tuple[Path, ...]:
    """Write masks (H, W) of ``case`` into ``out`` as PNG files of 0 and 255; return their paths."""
    paths = []
    for number, mask in enumerate(masks, start=1):
        paths.append(mask_path(case, out, number))
        Image.fromarray(mask.astype(np.uint8) * 255).save(paths[-1])
    return tuple(paths)


def mask_path(case: Case, out: Path, number: int) -> Path:
    """Return where the mask of the lesion ``number``, counted from 1, goes."""
    # always with a number, so that the second mask of `a` and the first of `a_2` differ
    return out / MASKS / f"{case.id}_{number}.png"
