"""Cropping to the B-mode image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.croppad.array import Crop
from monai.transforms.croppad.dictionary import Cropd

from bus_monai.transforms.image_region import find_image_region


class CropImageRegiond(Cropd):
    """Crop images (1, H, W) to the region that :func:`~bus_monai.transforms.image_region.find_image_region` finds.

    The inverse, as ``Invertd`` applies it to a prediction, puts zeros around it: each pixel is where it was.

    Args:
        keys: images of one size with values in [0, 1]; the region is that of the first.
        allow_missing_keys: leave out keys that the item lacks.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, Crop(), allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Crop each key."""
        item = dict(data)
        top, bottom, left, right = find_image_region(np.asarray(item[self.keys[0]][0]))
        for key in self.key_iterator(item):
            # a view would keep the whole image in memory as long as the crop lives
            item[key] = self.cropper(item[key], (slice(top, bottom), slice(left, right)), lazy=lazy).clone()
        return item
