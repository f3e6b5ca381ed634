"""Loading the mask of one mass."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform
from numpy.typing import NDArray
from scipy.ndimage import label

from bus_monai.errors import UserError
from bus_monai.networks.shape_cnn import SIDE
from bus_monai.source import is_lesion, read_source
from bus_monai.transforms.mass_crop import crop_mass

_EIGHT = np.ones((3, 3), dtype=int)


class LoadMassd(MapTransform):
    """Read the mask of a mass, or the part of a predicted mask that belongs to it, as ``crop_mass`` gives it.

    That part is the connected component (of eight neighbours) that shares the most pixels with the true mask. Where
    none shares any, the mass was not found, and the result is empty.

    Args:
        keys: path of the true mask, replaced by the result (1, 64, 64), float32 of 0 and 1, under ``image_key``.
        predicted_key: path of the predicted mask of the whole image, where the item has it.
        image_key: where the result goes.

    Raises:
        UserError: a file cannot be read, the true mask is empty, or both have different sizes.
    """

    def __init__(
        self, keys: KeysCollection = "mask", *, predicted_key: str = "predicted", image_key: str = "image"
    ) -> None:
        super().__init__(keys)
        self.predicted_key = predicted_key
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the mass."""
        item = dict(data)
        for key in self.key_iterator(item):
            path = Path(item.pop(key))
            mask = read_mask_file(path)
            if not mask.any():
                raise UserError(f"The mask '{path}' of the mass '{item['id']}' is empty: draw it or remove its row.")
            if self.predicted_key in item:
                mask = _part_of(mask, Path(item.pop(self.predicted_key)))
            item[self.image_key] = (
                crop_mass(torch.from_numpy(mask)[None]) if mask.any() else torch.zeros((1, SIDE, SIDE))
            )
        return item


def read_mask_file(path: Path) -> NDArray[np.bool_]:
    """Read a mask (H, W) from a PNG, JPEG, NIfTI or DICOM file, rows first.

    Raises:
        UserError: it cannot be read.
    """
    return is_lesion(read_source(path).pixels, path)


def components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the connected components (of eight neighbours) of a mask (H, W), each of its size, from the top down."""
    labels, count = label(mask, structure=_EIGHT)
    return [labels == number for number in range(1, count + 1)]


def _part_of(mass: NDArray[np.bool_], path: Path) -> NDArray[np.bool_]:
    predicted = read_mask_file(path)
    if predicted.shape != mass.shape:
        raise UserError(
            f"The predicted mask '{path}' has {predicted.shape[0]} x {predicted.shape[1]} pixels but the true one "
            f"{mass.shape[0]} x {mass.shape[1]}: give predictions of the images' size."
        )
    parts = [part for part in components(predicted) if (part & mass).any()]
    return max(parts, key=lambda part: np.count_nonzero(part & mass), default=np.zeros_like(mass))
