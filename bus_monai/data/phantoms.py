"""Breast ultrasound phantoms: the embedded data set. NumPy and SciPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from bus_monai.data.cache import cached_dataset
from bus_monai.data.case import Case, Diagnosis
from bus_monai.data.datalist import Datalist, write_datalist
from bus_monai.data.phantom_anatomy import Lesion, Shape, draw_lesion, tissue
from bus_monai.data.phantom_physics import b_mode
from bus_monai.data.protocols.rdau import SHARES
from bus_monai.data.readers.shape_table import write_shape_table
from bus_monai.data.shape_words import WORD_OF_CLASS
from bus_monai.data.splits import split_by_group
from bus_monai.data.whole_folder import whole_folder
from bus_monai.errors import UserError

VERSION = 1
"""Part of the cache's name: raise it whenever an image of some seed changes."""
LEAST_SIDE = 64
DEFAULT_COUNT = 96
DEFAULT_SIZE = (256, 256)
BENIGN_SHAPES: tuple[Shape, ...] = ("round", "oval", "lobular")


@dataclass(frozen=True)
class Phantom:
    """A generated image.

    Args:
        image: (H, W) uint8, log-compressed B-mode, skin above.
        masks: (H, W) bool, one a lesion; empty for a normal image.
        diagnosis: that of the image.
        shapes: one a lesion.
    """

    image: NDArray[np.uint8]
    masks: tuple[NDArray[np.bool_], ...]
    diagnosis: Diagnosis
    shapes: tuple[Shape, ...]


def make_phantom(seed: int, size: tuple[int, int] = DEFAULT_SIZE) -> Phantom:
    """Make a phantom, always the same for the same seed and size.

    One in ten is normal, about one in seven has two or three lesions. Irregular lesions are malignant, the others
    benign, with one in ten the other way round, as in life.

    Raises:
        UserError: a side below 64 pixels.
    """
    if min(size) < LEAST_SIDE:
        raise UserError(f"A phantom of {size[0]} x {size[1]} pixels is too small: give sides of at least {LEAST_SIDE}.")
    rng = np.random.default_rng([VERSION, seed])
    echogenicity, attenuation = tissue(size, rng)
    count = int(rng.choice([0, 1, 2, 3], p=[0.10, 0.75, 0.11, 0.04]))
    malignant = bool(rng.random() < 0.35)
    lesions: list[Lesion] = []
    for _ in range(count):
        lesion = draw_lesion(size, _shape(malignant, rng), malignant, rng, apart_from=[one.mask for one in lesions])
        if lesion is not None:
            lesions.append(lesion)
            echogenicity = lesion.insert_into(echogenicity)
            attenuation = attenuation + lesion.attenuation
    diagnosis: Diagnosis = "normal" if not lesions else "malignant" if malignant else "benign"
    return Phantom(
        b_mode(echogenicity, attenuation, rng),
        tuple(lesion.mask for lesion in lesions),
        diagnosis,
        tuple(lesion.shape for lesion in lesions),
    )


def _shape(malignant: bool, rng: np.random.Generator) -> Shape:
    typical = rng.random() < 0.9
    return "irregular" if malignant == typical else BENIGN_SHAPES[rng.integers(len(BENIGN_SHAPES))]


def write_phantoms(
    folder: Path, *, count: int, size: tuple[int, int] = DEFAULT_SIZE, seed: int = 0, progress: bool = True
) -> Path:
    """Write phantoms as PNG with masks, ``datalist.json`` and ``mass_shapes.csv``, and return ``folder``.

    Args:
        folder: must not exist yet, or be left by the winner of two.
        count: number of phantoms.
        size: height and width in pixels.
        seed: of the first phantom; the others follow.
        progress: show a progress bar.
    """
    with whole_folder(folder) as partial:
        for name in ("images", "masks"):
            (partial / name).mkdir()
        cases, rows = [], []
        for i in tqdm(range(count), desc="generating phantoms", disable=not progress, leave=False):
            phantom = make_phantom(seed * 1_000_000 + i, size)
            cases.append(_write_one(partial, f"phantom_{i:04d}", phantom))
            rows += [(cases[-1].id, number, WORD_OF_CLASS[s]) for number, s in enumerate(phantom.shapes, start=1)]
        write_shape_table(partial, rows)
        sections = split_by_group(cases, SHARES, seed=seed)
        write_datalist(partial, Datalist(**sections, synthetic=True))
    return folder


def phantom_dataset(*, count: int = DEFAULT_COUNT, size: tuple[int, int] = DEFAULT_SIZE, seed: int = 0) -> Path:
    """Return the folder of a phantom data set, generated once, see ``cached_dataset``."""
    return cached_dataset(
        f"phantoms-v{VERSION}-{count}x{size[0]}x{size[1]}-seed{seed}",
        lambda folder: write_phantoms(folder, count=count, size=size, seed=seed),
    )


def _write_one(folder: Path, name: str, phantom: Phantom) -> Case:
    image = folder / "images" / f"{name}.png"
    Image.fromarray(phantom.image).save(image)
    masks = []
    for i, mask in enumerate(phantom.masks):
        masks.append(folder / "masks" / (f"{name}_mask_{i}.png" if i else f"{name}_mask.png"))
        Image.fromarray(mask.astype(np.uint8) * 255).save(masks[-1])
    return Case(name, image, tuple(masks), name, phantom.diagnosis)
