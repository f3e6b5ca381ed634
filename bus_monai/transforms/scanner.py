"""Random changes that make an image look as if another scanner had made it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform, RandomizableTransform
from monai.utils.misc import ensure_tuple_rep
from monai.utils.type_conversion import convert_to_dst_type
from torch import Tensor
from torch.nn import functional as F

from bus_monai.transforms.gray import as_image, check_gray
from bus_monai.transforms.scanner_effects import (
    Pixels,
    add_speckle,
    burn_in,
    correlated_noise,
    depth_gain,
    jpeg,
    random_overlay,
)

GAIN_DEPTHS = 4
"""Depths at which a gain is drawn."""
BORDER_LEVELS = (0.0, 0.0, 0.25, 0.5, 1.0)
"""Gray values of borders; most are black."""


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
    """Words and calipers burned into the image, in Pillow's own font."""

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
        most: each of the four borders is drawn from 0 to this share of the side.
        mode: interpolation, one for each key.
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.3, *, most: float = 0.25, mode: tuple[str, ...] | str = "bilinear"
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.most = most
        self.modes = ensure_tuple_rep(mode, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put borders around each key."""
        item = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return item
        shares = self.R.uniform(0, self.most, 4)
        value = BORDER_LEVELS[int(self.R.randint(len(BORDER_LEVELS)))]
        for i, (key, mode) in enumerate(self.key_iterator(item, self.modes)):
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
