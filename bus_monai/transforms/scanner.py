"""Random changes that make an image look as if another scanner had made it, and the effects as plain functions."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform, RandomizableTransform
from monai.utils.misc import ensure_tuple_rep
from monai.utils.type_conversion import convert_to_dst_type
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from bus_monai.transforms.gray import as_image, check_gray

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
GAIN_DEPTHS = 4
"""Depths at which a gain is drawn."""
BORDER_LEVELS = (0.0, 0.0, 0.25, 0.5, 1.0)
"""Gray values of borders; most are black."""
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


class _RandEffectd(RandomizableTransform, MapTransform):
    """Change images (1, H, W) with values in [0, 1] with a probability; all keys alike."""

    def __init__(self, keys: KeysCollection, prob: float) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change each key."""
        item = dict(data)
        self.randomize(None)
        if self._do_transform:
            effect = self.draw(tuple(item[self.first_key(item)].shape[1:]))
            for key in self.key_iterator(item):
                check_gray(item[key], type(self).__name__)
                # sharpened and scaled before, values may lie a little outside of [0, 1], where they end clipped
                item[key] = as_image(effect(np.asarray(item[key][0])), item[key])
        return item

    @abstractmethod
    def draw(self, size: tuple[int, int]) -> Callable[[Pixels], Pixels]:
        """Draw the parameters of a change of images of ``size``, and return the change."""


class RandDepthGaind(_RandEffectd):
    """A gain that changes smoothly with depth.

    Args:
        keys: images.
        prob: of a change.
        decibels: the gain at four depths is drawn from minus to plus this.

    Example:
        >>> gain = RandDepthGaind("image", prob=1.0)
        >>> gain.set_random_state(seed=0)  # doctest: +ELLIPSIS
        <...RandDepthGaind object at ...>
        >>> changed = gain({"image": torch.full((1, 8, 8), 0.5)})["image"]
        >>> bool((changed[0, 0] == changed[0, 0, 0]).all()), bool(changed[0, 0, 0] == changed[0, 7, 0])
        (True, False)
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5, *, decibels: float = 8.0) -> None:
        super().__init__(keys, prob)
        self.decibels = decibels

    def draw(self, size: tuple[int, int]) -> Callable[[Pixels], Pixels]:
        """Draw the gain at each depth."""
        gain = self.R.uniform(-self.decibels, self.decibels, GAIN_DEPTHS)
        return lambda pixels: depth_gain(pixels, gain.tolist())


class RandSpeckled(_RandEffectd):
    """Multiplicative noise of random correlation length.

    Args:
        keys: images.
        prob: of a change.
        strength: the noise's standard deviation is drawn from 0 to this.
        length: its correlation length in pixels is drawn from 0 to this.

    Example:
        >>> image = torch.full((1, 16, 16), 0.5)
        >>> bool(RandSpeckled("image", prob=1.0).set_random_state(seed=0)({"image": image})["image"].std() > 0)
        True
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5, *, strength: float = 0.4, length: float = 3.0) -> None:
        super().__init__(keys, prob)
        self.strength = strength
        self.length = length

    def draw(self, size: tuple[int, int]) -> Callable[[Pixels], Pixels]:
        """Draw the noise."""
        strength = float(self.R.uniform(0, self.strength))
        noise = correlated_noise(size, float(self.R.uniform(0, self.length)), self.R)
        return lambda pixels: add_speckle(pixels, noise, strength)


class RandBurnInd(_RandEffectd):
    """Words and calipers burned into the image, in Pillow's own font.

    Example:
        >>> image = torch.zeros(1, 64, 64)
        >>> bool(RandBurnInd("image", prob=1.0).set_random_state(seed=0)({"image": image})["image"].any())
        True
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.3) -> None:
        super().__init__(keys, prob)

    def draw(self, size: tuple[int, int]) -> Callable[[Pixels], Pixels]:
        """Draw what is written and where."""
        overlay = random_overlay(self.R)
        return lambda pixels: burn_in(pixels, overlay)


class RandJPEGd(_RandEffectd):
    """Compression by JPEG.

    Args:
        keys: images.
        prob: of a change.
        quality: least quality and most.

    Example:
        >>> image = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> packed = RandJPEGd("image", prob=1.0).set_random_state(seed=0)({"image": image})["image"]
        >>> packed.shape == image.shape, bool((packed == image).all())
        (True, False)
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.3, *, quality: tuple[int, int] = (20, 90)) -> None:
        super().__init__(keys, prob)
        self.quality = quality

    def draw(self, size: tuple[int, int]) -> Callable[[Pixels], Pixels]:
        """Draw the quality."""
        quality = int(self.R.randint(self.quality[0], self.quality[1] + 1))
        return lambda pixels: jpeg(pixels, quality)


class RandLetterboxd(RandomizableTransform, MapTransform):
    """Borders of one gray value around image and label (1, H, W), squeezed back to their size.

    Args:
        keys: images of one size; the border's value is that of the first alone, of the others it is 0.
        prob: of a change.
        max_share: each of the four borders is drawn from 0 to this share of the side.
        mode: interpolation, one for each key.

    Example:
        >>> image = torch.full((1, 16, 16), 0.5)
        >>> boxed = RandLetterboxd("image", prob=1.0).set_random_state(seed=0)({"image": image})["image"]
        >>> boxed.shape, bool((boxed == image).all())
        (torch.Size([1, 16, 16]), False)
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.3,
        *,
        max_share: float = 0.25,
        mode: tuple[str, ...] | str = "bilinear",
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.max_share = max_share
        self.modes = ensure_tuple_rep(mode, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put borders around each key."""
        item = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return item
        shares = self.R.uniform(0, self.max_share, 4)
        value = BORDER_LEVELS[int(self.R.randint(len(BORDER_LEVELS)))]
        for i, (key, mode) in enumerate(self.key_iterator(item, self.modes)):
            check_gray(item[key], "RandLetterboxd")
            item[key] = letterbox(item[key], shares.tolist(), value=value if i == 0 else 0.0, mode=mode)
        return item


def letterbox(image: Tensor, shares: list[float], *, value: float, mode: str) -> Tensor:
    """Return ``image`` (C, H, W) with borders at top, bottom, left and right, shares of its side, at its old size."""
    height, width = image.shape[1:]
    rows, columns = (
        [round(share * side) for share in part] for part, side in ((shares[:2], height), (shares[2:], width))
    )
    plain = torch.as_tensor(np.asarray(image))[None]
    padded = F.pad(plain, [*columns, *rows], value=value)
    smooth = {"align_corners": False, "antialias": True} if mode == "bilinear" else {}
    small = F.interpolate(padded, size=(height, width), mode=mode, **smooth)
    result: Tensor = convert_to_dst_type(small[0], image)[0]
    return result
