"""Effects of scanners on an image, as functions of their parameters. Needs neither torch nor MONAI."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

Pixels: TypeAlias = NDArray[np.float32]
"""(H, W), gray values in [0, 1]; every function returns new pixels of this kind."""
Random: TypeAlias = np.random.RandomState | np.random.Generator
Point: TypeAlias = tuple[float, float]
"""Row and column as shares of height and width."""

OVERLAY_WORDS = (
    "BREAST",
    "L 12-5",
    "RIGHT 10H",
    "B 62 %",
    "MI 0.9",
    "TIS 0.2",
    "4.0 cm",
    "D1 1.24 cm",
    "LT RAD",
    "12:30",
    "MAMA DIREITA",
    "QSE MAMA ESQ",
    "1 14.6mm",
    "GE",
    "A",
    "x",
)
"""Texts that scanners write on images."""
CROSS_SHARE = 0.012
"""Half the size of a caliper's cross, as a share of the shorter side."""
LENGTH_SHARES = (0.06, 0.5)
"""Least and greatest length of what is measured, as a share of the side: what lesions have."""


@dataclass(frozen=True)
class Overlay:
    """Texts and calipers burned into an image.

    Args:
        texts: upper left corners and words.
        calipers: ends of distances, a cross each.
        dotted: whether there is a dotted line between the ends.
        value: gray value of all of it.
        height: of the letters, as a share of the image's height.
    """

    texts: Sequence[tuple[Point, str]] = ()
    calipers: Sequence[tuple[Point, Point]] = ()
    dotted: bool = True
    value: float = 1.0
    height: float = 0.04


def depth_gain(pixels: Pixels, decibels: Sequence[float]) -> Pixels:
    """Multiply each row by a gain.

    Args:
        pixels: the image.
        decibels: the gain at evenly spaced depths from top to bottom, two or more; between them it is smooth.
    """
    depths = np.linspace(0, 1, len(decibels))
    curve = PchipInterpolator(depths, decibels)(np.linspace(0, 1, len(pixels)))
    return _clipped(pixels * 10 ** (curve / 20)[:, None])


def add_speckle(pixels: Pixels, noise: Pixels, strength: float) -> Pixels:
    """Multiply by ``1 + strength * noise``.

    Args:
        pixels: the image.
        noise: of the same shape, mean 0 and standard deviation 1, as :func:`correlated_noise` makes it.
        strength: 0 for none; speckle of a single look has 0.52.
    """
    return _clipped(pixels * (1 + strength * noise))


def correlated_noise(shape: tuple[int, int], length: float, random: Random) -> Pixels:
    """Draw Gaussian noise of mean 0 and standard deviation 1, smooth over ``length`` pixels."""
    noise = gaussian_filter(random.standard_normal(shape), length, mode="wrap")
    unit: Pixels = ((noise - noise.mean()) / max(float(noise.std()), 1e-6)).astype(np.float32)
    return unit


def burn_in(pixels: Pixels, overlay: Overlay) -> Pixels:
    """Draw texts and calipers over the image."""
    height, width = pixels.shape
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(6, round(overlay.height * height)))
    for (row, column), word in overlay.texts:
        draw.text((column * width, row * height), word, fill=overlay.value, font=font)
    size = max(2, round(CROSS_SHARE * min(height, width)))
    for start, end in overlay.calipers:
        (r0, c0), (r1, c1) = ((row * height, column * width) for row, column in (start, end))
        for row, column in ((r0, c0), (r1, c1)):
            draw.line((column - size, row, column + size, row), fill=overlay.value)
            draw.line((column, row - size, column, row + size), fill=overlay.value)
        if not overlay.dotted:
            continue
        for t in np.arange(0, 1, 4 / max(4.0, float(np.hypot(r1 - r0, c1 - c0)))):
            draw.point((c0 + t * (c1 - c0), r0 + t * (r1 - r0)), fill=overlay.value)
    return _clipped(np.asarray(image))


def random_overlay(random: Random) -> Overlay:
    """Draw up to three words and up to two distances anywhere in the image.

    Distances are as long as lesions are, and two of them cross: so does an examiner measure what was found. Where there
    is nothing to measure they teach that calipers do not make a lesion.
    """

    def point() -> Point:
        return float(random.uniform(0.02, 0.95)), float(random.uniform(0.02, 0.95))

    texts = [
        (point(), OVERLAY_WORDS[int(random.uniform(0, len(OVERLAY_WORDS)))]) for _ in range(int(random.uniform(0, 4)))
    ]
    center, angle = point(), float(random.uniform(0, np.pi))
    calipers = [
        _measured(center, float(random.uniform(*LENGTH_SHARES)), angle + i * np.pi / 2)
        for i in range(int(random.uniform(0 if texts else 1, 3)))
    ]
    value, height = random.uniform(0.6, 1), random.uniform(0.025, 0.06)
    return Overlay(texts, calipers, bool(random.uniform() < 0.5), float(value), float(height))


def _measured(center: Point, length: float, angle: float) -> tuple[Point, Point]:
    """Return the ends of a distance."""
    (row, column), (down, right) = center, (length / 2 * np.sin(angle), length / 2 * np.cos(angle))
    return (row - down, column - right), (row + down, column + right)


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Compress and read again; ``quality`` from 1 to 95 as Pillow has it."""
    buffer = io.BytesIO()
    Image.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return _clipped(np.asarray(Image.open(buffer)) / 255)


def _clipped(pixels: NDArray[np.floating]) -> Pixels:
    clipped: Pixels = np.clip(pixels, 0, 1).astype(np.float32)
    return clipped
