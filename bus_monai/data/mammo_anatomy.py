"""Breast, masses and calcifications of the mammogram phantoms, as relative X-ray attenuation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from bus_monai.data.phantom_anatomy import Shape, outline
from bus_monai.detection.mask_box import mask_box

Margin: TypeAlias = Literal["circumscribed", "spiculated"]
Map: TypeAlias = NDArray[np.float64]

EXPONENT = 3.0
"""Power falls as 1/f^3 in mammograms (Burgess, Jacobson and Judy, Med. Phys. 28, 2001, doi 10.1118/1.1355308)."""
FAT, GLAND, STRUCTURE = 0.36, 0.08, 0.07
"""Grey value of fat, what the gland adds to it, and the standard deviation of the parenchyma."""
MOST_TRIES = 40


@dataclass(frozen=True)
class Mass:
    """A mass in its place.

    Args:
        shape: of its outline.
        margin: spiculated for an irregular mass, circumscribed for all others.
        mask: (H, W) bool, without the spicules.
        attenuation: (H, W), grey value that it adds, spicules included.
    """

    shape: Shape
    margin: Margin
    mask: NDArray[np.bool_]
    attenuation: Map

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels; right and bottom are the first ones outside."""
        return mask_box(self.mask)

    def mirrored(self) -> Mass:
        """Return the mass of the other breast."""
        return Mass(self.shape, self.margin, np.fliplr(self.mask), np.fliplr(self.attenuation))


def power_law_noise(size: tuple[int, int], rng: np.random.Generator) -> Map:
    """Return Gaussian noise (H, W) of mean 0 and standard deviation 1 whose power falls as 1/f^:data:`EXPONENT`."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(size)) * frequency ** (-EXPONENT / 2), s=size)
    return np.asarray((noise - noise.mean()) / noise.std())


def breast(size: tuple[int, int], rng: np.random.Generator) -> tuple[Map, Map]:
    """Draw a compressed breast whose chest wall is the left border of the image.

    Returns:
        Grey values (H, W), 0 outside of the breast, and the distance from the middle of the chest wall (H, W) as a
        share of that of the skin: 1 at the skin.
    """
    height, width = size
    rows, columns = np.ogrid[:height, :width]
    down = (rows - height * rng.uniform(0.47, 0.53)) / (height * rng.uniform(0.38, 0.46))
    out = columns / (width * rng.uniform(0.65, 0.92))
    distance = np.hypot(down, out)
    # even under compression, thinner where the skin curves
    thickness = np.sqrt(np.clip(1 - (np.maximum(distance - 0.75, 0) / 0.25) ** 2, 0, None))
    gland = np.exp(-((distance / rng.uniform(0.55, 0.8)) ** 4))
    return thickness * (FAT + GLAND * gland + STRUCTURE * power_law_noise(size, rng)), distance


def draw_mass(
    distance: Map, shape: Shape, rng: np.random.Generator, *, apart_from: Sequence[NDArray[np.bool_]] = ()
) -> Mass | None:
    """Draw a mass of a shape at a free place in a breast; ``None`` where no place is found.

    Args:
        distance: (H, W) of :func:`breast`.
        shape: of its outline.
        rng: source of place, size and form.
        apart_from: masks (H, W) that it must not touch.
    """
    height, width = distance.shape
    free = (distance < 0.92) & (np.arange(width) > 1)
    for mask in apart_from:
        free &= ~binary_dilation(mask, iterations=6)
    largest = height * rng.uniform(0.035, 0.08)
    for attempt in range(MOST_TRIES):
        radius = max(largest * 0.97**attempt, 2.5)
        centre = (rng.uniform(0.2, 0.8) * height, rng.uniform(0.08, 0.75) * width)
        irregular = shape == "irregular"
        # lesions in ultrasound lie; those in mammograms do so in any direction
        if rng.random() < 0.5:
            mask = outline((width, height), shape, centre[::-1], radius, irregular, rng).T
        else:
            mask = outline((height, width), shape, centre, radius, irregular, rng)
        if free[mask].all() and mask.any():
            return _mass(shape, mask, centre, radius, rng)
    return None


def calcifications(distance: Map, rng: np.random.Generator) -> Map:
    """Draw clusters of small bright dots and single larger ones anywhere in the breast: (H, W), grey value added."""
    height, width = distance.shape
    added = np.zeros((height, width))
    single = [(rng.uniform(0.1, 0.9) * height, rng.uniform(0, 0.8) * width) for _ in range(rng.poisson(2))]
    clusters = []
    for _ in range(rng.poisson(1)):
        middle = np.array([rng.uniform(0.2, 0.8) * height, rng.uniform(0.05, 0.7) * width])
        clusters += [tuple(middle + rng.normal(0, 0.012 * height, 2)) for _ in range(int(rng.integers(5, 16)))]
    for places, least, most in ((single, 0.8, 1.6), (clusters, 0.4, 0.8)):
        for row, column in places:
            sigma, brightness = rng.uniform(least, most), rng.uniform(0.15, 0.4)
            top, left = max(int(row) - 6, 0), max(int(column) - 6, 0)
            window = np.s_[top : top + 13, left : left + 13]
            rows, columns = np.ogrid[window]
            added[window] += brightness * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))
    return added * (distance < 0.95)


def _mass(
    shape: Shape, mask: NDArray[np.bool_], centre: tuple[float, float], radius: float, rng: np.random.Generator
) -> Mass:
    contrast = rng.uniform(0.10, 0.22)
    irregular = shape == "irregular"
    depth = distance_transform_edt(mask)
    # thickest in the middle, as a ball is, but not vanishing at the margin
    body = (0.4 + 0.6 * np.sqrt(1 - (1 - depth / depth.max()) ** 2)) * mask
    body = gaussian_filter(body, rng.uniform(1.0, 1.8) if irregular else rng.uniform(0.5, 0.9))
    if irregular:
        body = np.maximum(body, _spicules(mask.shape, centre, radius, rng))
    return Mass(shape, "spiculated" if irregular else "circumscribed", mask, contrast * body)


def _spicules(size: tuple[int, ...], centre: tuple[float, float], radius: float, rng: np.random.Generator) -> Map:
    """Return thin lines (H, W) that radiate from a mass and fade, 1 at most."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    down, right = rows - centre[0], columns - centre[1]
    lines = np.zeros(size)
    for _ in range(int(rng.integers(10, 22))):
        angle, length, width = rng.uniform(0, 2 * np.pi), radius * rng.uniform(1.8, 3.0), rng.uniform(0.5, 1.0)
        along = right * np.cos(angle) + down * np.sin(angle)
        across = down * np.cos(angle) - right * np.sin(angle)
        fading = np.clip(1 - along / length, 0, 1) * (along > 0)
        lines = np.maximum(lines, fading * np.exp(-((across / width) ** 2)))
    return lines
