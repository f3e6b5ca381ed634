"""Mammogram phantoms with masses of known shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bus_monai.data.datalist import Diagnosis, Shape
from bus_monai.data.phantoms.anatomy import Mass, breast, calcifications, check_size, draw_mass
from bus_monai.data.phantoms.write import Phantom, cached_dataset, write_phantom_set

MAMMOGRAM_PHANTOM_VERSION = 1
"""Part of the cache's name: raise it whenever an image of some seed changes."""
DEFAULT_COUNT = 120
DEFAULT_SIZE = (512, 400)
IMAGE_HEIGHT_MM = 200.0
SHAPE_COUNTS: dict[Shape, int] = {"irregular": 464, "lobular": 384, "oval": 412, "round": 164}
"""Masses of CBIS-DDSM with one of the four shapes, in whose proportions shapes are drawn."""
PHANTOM_SHARES = {"training": 7, "validation": 1, "test": 2}
DETECTOR_NOISE_STD = 0.012
"""Standard deviation of the detector's noise in gray values from 0 to 1."""

Laterality: TypeAlias = Literal["L", "R"]


@dataclass(frozen=True)
class MammoPhantom:
    """A generated mammogram, cranio-caudal.

    Args:
        image: (H, W) uint8, dense tissue bright, air 0.
        masses: one to three.
        laterality: the chest wall is at the left border of a left breast, at the right border of a right one.
        spacing_mm: side of a pixel.
    """

    image: NDArray[np.uint8]
    masses: tuple[Mass, ...]
    laterality: Laterality
    spacing_mm: float

    @property
    def diagnosis(self) -> Diagnosis:
        """Malignant where a mass is spiculated, else benign."""
        return "malignant" if any(mass.margin == "spiculated" for mass in self.masses) else "benign"


def make_mammo_phantom(seed: int, size: tuple[int, int] = DEFAULT_SIZE) -> MammoPhantom:
    """Make a phantom, always the same for the same seed and size.

    Raises:
        UserError: a side below 64 pixels.
    """
    check_size(size)
    rng = np.random.default_rng([MAMMOGRAM_PHANTOM_VERSION, seed])
    gray, distance = breast(size, rng)
    shares = np.array(list(SHAPE_COUNTS.values())) / sum(SHAPE_COUNTS.values())
    masses: list[Mass] = []
    for number in rng.choice(len(shares), size=rng.choice([1, 2, 3], p=[0.75, 0.2, 0.05]), p=shares):
        mass = draw_mass(distance, list(SHAPE_COUNTS)[number], rng, apart_from=[one.mask for one in masses])
        if mass is not None:
            masses.append(mass)
            gray = gray + mass.attenuation * (distance < 1)
    gray = gray + calcifications(distance, rng)
    gray = gray + DETECTOR_NOISE_STD * rng.standard_normal(size) * (distance < 1)
    image = np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8)
    spacing = IMAGE_HEIGHT_MM / size[0]
    if rng.random() < 0.5:
        return MammoPhantom(np.fliplr(image), tuple(mass.mirrored() for mass in masses), "R", spacing)
    return MammoPhantom(image, tuple(masses), "L", spacing)


def write_mammo_phantoms(folder: Path, *, count: int, size: tuple[int, int] = DEFAULT_SIZE, seed: int = 0) -> Path:
    """Write phantoms as PNG with one mask per mass, ``datalist.json`` and ``mass_shapes.csv``, and return ``folder``.

    Shapes are written in the words of CBIS-DDSM, whose prepared folders have the same table.

    Args:
        folder: must not exist yet, or be left by the winner of two processes that write it.
        count: number of phantoms, at least 3, since each section of the datalist gets one.
        size: height and width in pixels.
        seed: of the first phantom; the others follow.

    Raises:
        UserError: a side below 64 pixels, or fewer than 3 phantoms.
    """
    drawn = (make_mammo_phantom(seed * 1_000_000 + i, size) for i in range(count))
    phantoms = (
        Phantom(one.image, tuple(m.mask for m in one.masses), one.diagnosis, tuple(m.shape for m in one.masses))
        for one in drawn
    )
    return write_phantom_set(folder, "mammo", phantoms, PHANTOM_SHARES, count=count, seed=seed)


def mammo_phantom_dataset(*, count: int = DEFAULT_COUNT, size: tuple[int, int] = DEFAULT_SIZE, seed: int = 0) -> Path:
    """Return the folder of a phantom data set, generated once, see ``cached_dataset``."""
    return cached_dataset(
        f"mammo-phantoms-v{MAMMOGRAM_PHANTOM_VERSION}-{count}x{size[0]}x{size[1]}-seed{seed}",
        lambda folder: write_mammo_phantoms(folder, count=count, size=size, seed=seed),
    )
