"""Ultrasound phantoms: from anatomy through echogenicity and attenuation to a B-mode image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bus_monai.data.datalist import Diagnosis, Shape
from bus_monai.data.phantoms.anatomy import Lesion, check_size, draw_lesion, tissue
from bus_monai.data.phantoms.write import Phantom, cached_dataset, write_phantom_set
from bus_monai.data.protocols import RDAU_SHARES

AXIAL_SIGMA, LATERAL_SIGMA = 0.9, 2.0
"""Standard deviations of the point-spread function along and across depth, in pixels: a pulse is shorter than a beam is
wide."""
PHANTOM_VERSION = 1
"""Part of the cache's name: raise it whenever an image of some seed changes."""
DEFAULT_COUNT = 96
DEFAULT_SIZE = (256, 256)
BENIGN_SHAPES: tuple[Shape, ...] = ("round", "oval", "lobular")


def speckle_envelope(amplitude: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the envelope of the echoes of many scatterers per resolution cell.

    Scatterers are circular complex Gaussian with the given amplitude; the point-spread function is Gaussian. Where the
    amplitude is constant the envelope is Rayleigh distributed: fully developed speckle, whose ratio of mean to
    standard deviation is sqrt(pi / (4 - pi)) = 1.91 (Wagner et al., IEEE Trans. Sonics Ultrason. 30, 1983).

    Args:
        amplitude: (H, W), non-negative, rows are depth.
        rng: source of the scatterers.

    Returns:
        (H, W), non-negative; of mean square 2 where the amplitude is 1.
    """
    field = rng.standard_normal((2, *amplitude.shape), dtype=np.float32) * amplitude
    # the filter averages, which takes 1 / (4 pi s_a s_l) of the variance; give it back
    gain = np.sqrt(4 * np.pi * AXIAL_SIGMA * LATERAL_SIGMA)
    real, imaginary = (gaussian_filter(part, (AXIAL_SIGMA, LATERAL_SIGMA), mode="reflect") * gain for part in field)
    return np.asarray(np.hypot(real, imaginary))


def b_mode(
    echogenicity_db: NDArray[np.float32], attenuation_db: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the log-compressed 8-bit image.

    Args:
        echogenicity_db: (H, W), backscatter relative to glandular tissue.
        attenuation_db: (H, W), excess attenuation of each pixel over what time-gain compensation takes out; what lies
            below a pixel loses it.
        rng: source of speckle, gain and dynamic range.
    """
    lost = np.cumsum(attenuation_db, axis=0) - attenuation_db
    # beams overlap, so a shadow has no sharp sides
    lost = gaussian_filter(lost, (0, 1.5))
    envelope = speckle_envelope(10 ** ((echogenicity_db - lost) / 20), rng)
    level = 20 * np.log10(np.maximum(envelope, 1e-6))
    dynamic_range, top = rng.uniform(50, 62), rng.uniform(18, 25)
    unit = np.clip((level - top) / dynamic_range + 1, 0, 1)
    return np.rint(unit * 255).astype(np.uint8)


def make_phantom(seed: int, size: tuple[int, int] = DEFAULT_SIZE) -> Phantom:
    """Make a log-compressed B-mode image, skin above, always the same for the same seed and size.

    One in ten is normal, about one in seven has two or three lesions. Irregular lesions are malignant, the others
    benign, with one in ten the other way round, as in life.

    Raises:
        UserError: a side below 64 pixels.
    """
    check_size(size)
    rng = np.random.default_rng([PHANTOM_VERSION, seed])
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
    return write_phantom_set(folder, "phantom", drawn, RDAU_SHARES, count=count, seed=seed)


def phantom_dataset(*, count: int = DEFAULT_COUNT, size: tuple[int, int] = DEFAULT_SIZE, seed: int = 0) -> Path:
    """Return the folder of a phantom data set, generated once, see ``cached_dataset``."""
    return cached_dataset(
        f"phantoms-v{PHANTOM_VERSION}-{count}x{size[0]}x{size[1]}-seed{seed}",
        lambda folder: write_phantoms(folder, count=count, size=size, seed=seed),
    )
