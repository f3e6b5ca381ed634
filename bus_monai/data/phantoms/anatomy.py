"""Anatomy of the phantoms: tissue and lesions of ultrasound, attenuation of mammograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter, zoom

from bus_monai.data.datalist import Shape
from bus_monai.errors import UserError
from bus_monai.geometry.box import Box
from bus_monai.geometry.lesion import label_components

Margin: TypeAlias = Literal["circumscribed", "spiculated"]
TissueMap: TypeAlias = NDArray[np.float32]
AttenuationMap: TypeAlias = NDArray[np.float64]

LAYERS_DB = {"skin": 5.0, "fat": -11.0, "gland": 0.0, "deep fat": -9.0, "muscle": -5.0}
"""Typical echogenicity relative to glandular tissue: fat is darker, skin brighter."""
MAX_LESION_TRIES = 20
MIN_SIDE_PX = 64
NOISE_EXPONENT = 3.0
"""Power falls as 1/f^3 in mammograms (Burgess, Jacobson and Judy, Med. Phys. 28, 2001, doi 10.1118/1.1355308)."""
FAT_LEVEL, GLAND_GAIN, PARENCHYMA_STD = 0.36, 0.08, 0.07
"""Gray value of fat, what the gland adds to it, and the standard deviation of the parenchyma."""
MAX_MASS_TRIES = 40


def check_size(size: tuple[int, int]) -> None:
    """Raise a user error for an image with a side below 64 pixels, which is too small for a lesion."""
    if min(size) < MIN_SIDE_PX:
        raise UserError(
            f"A phantom of {size[0]} x {size[1]} pixels is too small: give sides of at least {MIN_SIDE_PX}."
        )


def tissue(size: tuple[int, int], rng: np.random.Generator) -> tuple[TissueMap, TissueMap]:
    """Draw skin, subcutaneous fat, gland, deep fat and muscle.

    Returns:
        Echogenicity in dB relative to glandular tissue, and excess attenuation in dB per pixel, both (H, W).
    """
    height, width = size
    depth = np.arange(height, dtype=np.float32)[:, None] / height
    skin = 0.035 + 0.01 * rng.random()
    borders = [
        _border(width, level, wave, rng)
        for level, wave in (
            (skin, 0.004),
            (skin + rng.uniform(0.08, 0.22), 0.035),
            (rng.uniform(0.62, 0.80), 0.03),
            (rng.uniform(0.80, 0.90), 0.02),
        )
    ]
    layer = np.sum([depth > border for border in borders], axis=0)
    echo = np.array(list(LAYERS_DB.values()), dtype=np.float32)[layer]
    echo = gaussian_filter(echo, height / 200)
    for border in borders[1:]:  # fasciae
        echo = echo + rng.uniform(3, 8) * np.exp(-(((depth - border) * height / 1.5) ** 2))

    echo = echo + 2.5 * _smooth_noise(size, (height / 20, width / 10), rng)
    strands = np.exp(-((_smooth_noise(size, (height / 50, width / 12), rng) / 0.22) ** 2))
    echo = echo + np.where(layer == 2, 9.0, np.where(layer == 4, 7.0, 4.0)) * strands
    echo = _add_fat_lobules(echo, layer == 2, rng)

    attenuation = np.full(size, rng.uniform(-1, 6) / height, dtype=np.float32)
    for _ in range(rng.poisson(1.2)):  # ligaments cast narrow shadows
        column, row = rng.uniform(0, width), int(rng.uniform(0.05, 0.4) * height)
        beam = np.exp(-(((np.arange(width) - column) / (width * rng.uniform(0.01, 0.03))) ** 2))
        attenuation[row : row + 3] += rng.uniform(1, 3) * beam.astype(np.float32)
    return echo.astype(np.float32), attenuation


@dataclass(frozen=True)
class Lesion:
    """A lesion placed in an image.

    Args:
        shape: of its outline.
        mask: (H, W) bool.
        contrast_db: how much darker it is than glandular tissue, below 0.
        softness: standard deviation of its margin in pixels.
        rim_db: brightness of the tissue around it.
        attenuation: (H, W), excess attenuation in dB per pixel: above 0 casts a shadow, below 0 enhances what is
        behind.
        texture: (H, W), dB added inside.
    """

    shape: Shape
    mask: NDArray[np.bool_]
    contrast_db: float
    softness: float
    rim_db: float
    attenuation: TissueMap
    texture: TissueMap

    def insert_into(self, echogenicity: TissueMap) -> TissueMap:
        """Return ``echogenicity`` (H, W) in dB with the lesion in it."""
        inside: TissueMap = gaussian_filter(self.mask.astype(np.float32), self.softness)
        rim = binary_dilation(self.mask, iterations=3) & ~self.mask
        around: TissueMap = gaussian_filter(rim.astype(np.float32), 1.0) * self.rim_db
        return (echogenicity + around) * (1 - inside) + (self.contrast_db + self.texture) * inside


def draw_lesion(
    size: tuple[int, int],
    shape: Shape,
    malignant: bool,
    rng: np.random.Generator,
    *,
    apart_from: Sequence[NDArray[np.bool_]] = (),
) -> Lesion | None:
    """Draw a lesion of a shape at a free place between skin and muscle; ``None`` where no place is found."""
    height, width = size
    taken = np.zeros(size, dtype=bool)
    for mask in apart_from:
        taken |= binary_dilation(mask, iterations=6)
    for _ in range(MAX_LESION_TRIES):
        radius = min(size) * rng.uniform(0.055, 0.17) * (0.75 if apart_from else 1.0)
        center = (rng.uniform(0.28, 0.66) * height, rng.uniform(0.15, 0.85) * width)
        mask = outline(size, shape, center, radius, malignant, rng)
        if not (mask & taken).any():
            break
    else:
        return None
    tall = np.count_nonzero(mask.any(axis=1))
    # dB lost or won behind the whole lesion
    behind = rng.uniform(2, 14) if malignant else rng.uniform(-9, 3)
    return Lesion(
        shape=shape,
        mask=mask,
        contrast_db=rng.uniform(-20, -9),
        softness=rng.uniform(1.2, 2.8) if malignant else rng.uniform(0.6, 1.5),
        rim_db=rng.uniform(0, 5),
        attenuation=mask * np.float32(behind / tall),
        texture=rng.uniform(0.5, 2.5) * _smooth_noise(size, (4, 5), rng),
    )


def outline(
    size: tuple[int, int],
    shape: Shape,
    center: tuple[float, float],
    radius: float,
    malignant: bool,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return the mask of a closed curve in polar coordinates.

    Round has no harmonics; oval is stretched, wider than tall; lobular has two to four rounded lobes; irregular has
    many harmonics and spicules, and may be taller than wide, as malignant lesions often are.
    """
    aspect = {"round": rng.uniform(1, 1.12), "oval": rng.uniform(1.35, 2.1), "lobular": rng.uniform(1.15, 1.7)}.get(
        shape, rng.uniform(0.7, 1.35)
    )
    tilt = rng.uniform(-0.4, 0.4)
    waves: list[tuple[float, float, float]] = []
    spicules: list[tuple[float, float, float]] = []
    if shape == "lobular":
        waves = [(int(rng.integers(2, 5)), 0.30, rng.uniform(0, 6.3))]
    elif shape == "irregular":
        waves = [(k, rng.normal(0, 0.28 / np.sqrt(k)), rng.uniform(0, 6.3)) for k in range(3, 10)]
        spicules = [
            (rng.uniform(0, 6.3), rng.uniform(0.08, 0.35), rng.uniform(0.06, 0.14)) for _ in range(rng.integers(3, 8))
        ]
    # beyond its farthest point nothing is computed
    reach = radius * (1 + sum(abs(height) for _, height, _ in (*waves, *spicules)))
    reach *= np.sqrt(max(aspect, 1 / aspect))
    box = _around(center, reach + 1, size)
    rows, columns = np.ogrid[box]
    down, right = rows - center[0], columns - center[1]
    u = (right * np.cos(tilt) + down * np.sin(tilt)) / np.sqrt(aspect)
    v = (down * np.cos(tilt) - right * np.sin(tilt)) * np.sqrt(aspect)
    angle, distance = np.arctan2(v, u), np.hypot(u, v)
    limit = np.ones(angle.shape)
    for k, height, phase in waves:
        if shape == "lobular":
            # the absolute value of a wave has round tops and narrow notches between them
            limit += height * (np.abs(np.cos(k * angle / 2 + phase)) - 0.6)
        else:
            limit += height * np.cos(k * angle + phase)
    for at, height, width in spicules:
        off = np.angle(np.exp(1j * (angle - at)))
        limit += height * np.exp(-((off / width) ** 2))
    if shape == "irregular":
        limit = np.maximum(limit, 0.4)
    mask = np.zeros(size, dtype=bool)
    # on a coarse grid the tip of a thin spicule may stand alone
    mask[box] = label_components(distance <= radius * limit)[0] == 1
    return mask


def _around(center: tuple[float, float], reach: float, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the part of an image of this size within ``reach`` pixels of a point, by rows and columns."""
    first, second = (
        slice(max(int(middle - reach), 0), max(min(int(middle + reach) + 2, side), 0))
        for middle, side in zip(center, size, strict=True)
    )
    return first, second


def _border(width: int, level: float, wave: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the relative depth of a layer's lower border at each column."""
    x = np.linspace(0, 1, width)
    curve = np.full(width, level)
    for k in (1, 2, 3, 5):
        curve += rng.normal(0, wave / k) * np.cos(2 * np.pi * k * x / 1.6 + rng.uniform(0, 6.3))
    return curve


def _smooth_noise(size: tuple[int, int], sigma: tuple[float, float], rng: np.random.Generator) -> TissueMap:
    """Return correlated noise of mean 0 and standard deviation 1 (H, W), made small and enlarged to save time."""
    factor = max(1, int(min(sigma) / 2))
    small = tuple(-(-side // factor) + 4 for side in size)
    noise = gaussian_filter(rng.standard_normal(small, dtype=np.float32), [s / factor for s in sigma])
    if factor > 1:
        noise = zoom(noise, factor, order=1)
    noise = noise[: size[0], : size[1]]
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-6))


def _add_fat_lobules(echo: TissueMap, gland: NDArray[np.bool_], rng: np.random.Generator) -> TissueMap:
    """Add dark, soft ellipses to the gland, which a network must not take for lesions."""
    height, width = echo.shape
    rows, columns = np.ogrid[:height, :width]
    for _ in range(rng.poisson(2.0)):
        a, b = rng.uniform(0.03, 0.09) * width, rng.uniform(0.012, 0.03) * height
        r, c = rng.uniform(0.25, 0.75) * height, rng.uniform(0, width)
        inside = np.exp(-((((rows - r) / b) ** 2 + ((columns - c) / a) ** 2) ** 2))
        echo = echo + (gland * inside * rng.uniform(-9, -5)).astype(np.float32)
    return echo


@dataclass(frozen=True)
class Mass:
    """A mass placed in a mammogram.

    Args:
        shape: of its outline.
        margin: spiculated for an irregular mass, circumscribed for all others.
        mask: (H, W) bool, without the spicules.
        attenuation: (H, W), gray value that it adds, spicules included.
    """

    shape: Shape
    margin: Margin
    mask: NDArray[np.bool_]
    attenuation: AttenuationMap

    @property
    def box(self) -> Box:
        """Around the mask."""
        return Box.from_mask(self.mask)

    def mirrored(self) -> Mass:
        """Return the mass of the other breast."""
        return Mass(self.shape, self.margin, np.fliplr(self.mask), np.fliplr(self.attenuation))


def power_law_noise(size: tuple[int, int], rng: np.random.Generator) -> AttenuationMap:
    """Return Gaussian noise (H, W), mean 0, standard deviation 1, whose power falls as 1/f^:data:`NOISE_EXPONENT`."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(size)) * frequency ** (-NOISE_EXPONENT / 2), s=size)
    return np.asarray((noise - noise.mean()) / noise.std())


def breast(size: tuple[int, int], rng: np.random.Generator) -> tuple[AttenuationMap, AttenuationMap]:
    """Draw a compressed breast whose chest wall is the left border of the image.

    Returns:
        Gray values (H, W), 0 outside of the breast, and the distance from the middle of the chest wall (H, W) as a
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
    return thickness * (FAT_LEVEL + GLAND_GAIN * gland + PARENCHYMA_STD * power_law_noise(size, rng)), distance


def draw_mass(
    distance: AttenuationMap, shape: Shape, rng: np.random.Generator, *, apart_from: Sequence[NDArray[np.bool_]] = ()
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
    for attempt in range(MAX_MASS_TRIES):
        radius = max(largest * 0.97**attempt, 2.5)
        center = (rng.uniform(0.2, 0.8) * height, rng.uniform(0.08, 0.75) * width)
        irregular = shape == "irregular"
        # lesions in ultrasound lie; those in mammograms do so in any direction
        if rng.random() < 0.5:
            mask = outline((width, height), shape, center[::-1], radius, irregular, rng).T
        else:
            mask = outline((height, width), shape, center, radius, irregular, rng)
        if free[mask].all() and mask.any():
            return _mass(shape, mask, center, radius, rng)
    return None


def calcifications(distance: AttenuationMap, rng: np.random.Generator) -> AttenuationMap:
    """Draw clusters of small bright dots and single larger ones anywhere in the breast: (H, W), gray value added."""
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
    shape: Shape, mask: NDArray[np.bool_], center: tuple[float, float], radius: float, rng: np.random.Generator
) -> Mass:
    contrast = rng.uniform(0.10, 0.22)
    irregular = shape == "irregular"
    depth = distance_transform_edt(mask)
    # thickest in the middle, as a ball is, but not vanishing at the margin
    body = (0.4 + 0.6 * np.sqrt(1 - (1 - depth / depth.max()) ** 2)) * mask
    body = gaussian_filter(body, rng.uniform(1.0, 1.8) if irregular else rng.uniform(0.5, 0.9))
    if irregular:
        body = np.maximum(body, _spicules(mask.shape, center, radius, rng))
    return Mass(shape, "spiculated" if irregular else "circumscribed", mask, contrast * body)


def _spicules(
    size: tuple[int, ...], center: tuple[float, float], radius: float, rng: np.random.Generator
) -> AttenuationMap:
    """Return thin lines (H, W) that radiate from a mass and fade, 1 at most."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    down, right = rows - center[0], columns - center[1]
    lines = np.zeros(size)
    for _ in range(int(rng.integers(10, 22))):
        angle, length, width = rng.uniform(0, 2 * np.pi), radius * rng.uniform(1.8, 3.0), rng.uniform(0.5, 1.0)
        along = right * np.cos(angle) + down * np.sin(angle)
        across = down * np.cos(angle) - right * np.sin(angle)
        fading = np.clip(1 - along / length, 0, 1) * (along > 0)
        lines = np.maximum(lines, fading * np.exp(-((across / width) ** 2)))
    return lines
