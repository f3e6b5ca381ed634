"""Breast ultrasound phantoms: the embedded data set. NumPy and SciPy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bus_monai.data.cache import cached_dataset
from bus_monai.data.case import Diagnosis
from bus_monai.data.phantom_anatomy import Lesion, Shape, check_size, draw_lesion, tissue
from bus_monai.data.phantom_physics import b_mode
from bus_monai.data.protocols.rdau import SHARES
from bus_monai.data.write_phantom_set import Phantom, write_phantom_set

VERSION = 1
"""Part of the cache's name: raise it whenever an image of some seed changes."""
DEFAULT_COUNT = 96
DEFAULT_SIZE = (256, 256)
BENIGN_SHAPES: tuple[Shape, ...] = ("round", "oval", "lobular")


def make_phantom(seed: int, size: tuple[int, int] = DEFAULT_SIZE) -> Phantom:
    """Make a log-compressed B-mode image, skin above, always the same for the same seed and size.

    One in ten is normal, about one in seven has two or three lesions. Irregular lesions are malignant, the others
    benign, with one in ten the other way round, as in life.

    Raises:
        UserError: a side below 64 pixels.
    """
    check_size(size)
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


def write_phantoms(folder: Path, *, count: int, size: tuple[int, int] = DEFAULT_SIZE, seed: int = 0) -> Path:
    """Write phantoms as PNG with masks, ``datalist.json`` and ``mass_shapes.csv``, and return ``folder``.

    Args:
        folder: must not exist yet, or be left by the winner of two.
        count: number of phantoms.
        size: height and width in pixels.
        seed: of the first phantom; the others follow.
    """
    drawn = (make_phantom(seed * 1_000_000 + i, size) for i in range(count))
    return write_phantom_set(folder, "phantom", drawn, SHARES, count=count, seed=seed)


def phantom_dataset(*, count: int = DEFAULT_COUNT, size: tuple[int, int] = DEFAULT_SIZE, seed: int = 0) -> Path:
    """Return the folder of a phantom data set, generated once, see ``cached_dataset``."""
    return cached_dataset(
        f"phantoms-v{VERSION}-{count}x{size[0]}x{size[1]}-seed{seed}",
        lambda folder: write_phantoms(folder, count=count, size=size, seed=seed),
    )
