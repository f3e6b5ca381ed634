"""Loading the boxes of masses."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform

from bus_monai.detection.mask_box import mask_box
from bus_monai.errors import UserError
from bus_monai.source import read_mask


class LoadMassBoxesd(MapTransform):
    """Turn the masks of a case into boxes, one a file, in pixels of the loaded image.

    Boxes (T, 4) are top, left, bottom, right, the order that MONAI's box transforms expect of images whose rows come
    first; bottom and right are the first edges outside. An image that was resized since it was loaded has its boxes
    resized as well. Those transforms also want labels (T,), all 0, since there is one class.

    Args:
        keys: list of mask paths, removed from the item; an empty list stands for an image without mass.
        image_key: the loaded image, whose metadata hold the size of its file.
        box_key: where the boxes go.
        label_key: where the labels go.

    Raises:
        UserError: a mask cannot be read, has another size than the image's file, or no pixel.
    """

    def __init__(
        self,
        keys: KeysCollection = "masks",
        *,
        image_key: str = "image",
        box_key: str = "boxes",
        label_key: str = "classes",
    ) -> None:
        super().__init__(keys)
        self.image_key = image_key
        self.box_key = box_key
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the boxes and labels."""
        item = dict(data)
        image = item[self.image_key]
        source = tuple(int(side) for side in image.meta["source_shape"])
        paths = [Path(path) for key in self.keys for path in item.pop(key)]
        boxes = torch.tensor([_box(path, source) for path in paths], dtype=torch.float32).reshape(-1, 4)
        scale = torch.tensor([now / before for now, before in zip(image.shape[1:], source, strict=True)])
        item[self.box_key] = boxes * scale.repeat(2)
        item[self.label_key] = torch.zeros(len(boxes), dtype=torch.long)
        return item


def _box(path: Path, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    mask = read_mask(path, size)
    if not mask.any():
        raise UserError(f"The mask '{path}' is empty: draw the mass or remove the file from the data set.")
    left, top, right, bottom = mask_box(mask)
    return top, left, bottom, right
