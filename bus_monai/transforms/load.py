"""Loading images and masks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform

from bus_monai.errors import UserError
from bus_monai.source import read_masks, read_source

UNKNOWN_SPACING = (float("nan"), float("nan"))
"""Stands for "not known" in metadata, since batches cannot hold ``None``."""


class LoadUltrasoundd(MapTransform):
    """Read PNG, JPEG, NIfTI or DICOM to a grey image.

    The result is a float32 ``MetaTensor`` (1, H, W), rows first, values in [0, 1]. Its metadata: ``filename_or_obj``,
    ``source_shape`` (H, W), ``spacing_mm`` (rows, columns; NaN where the file does not say) and ``frame``.

    Args:
        keys: paths to read.
        frame_key: number of the frame to read, from 0, where the item has it.
        allow_missing_keys: leave out keys that the item lacks.

    Raises:
        UserError: a file cannot be read, or holds no signal.
    """

    def __init__(self, keys: KeysCollection, *, frame_key: str = "frame", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.frame_key = frame_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its image."""
        item = dict(data)
        for key in self.key_iterator(item):
            source = read_source(item[key], int(item.get(self.frame_key, 0)))
            if not source.pixels.any():
                raise UserError(f"'{item[key]}' holds no signal: every pixel is 0; remove it from the data set.")
            meta = {
                "filename_or_obj": str(item[key]),
                # not MONAI's spatial_shape, which is columns first: MONAI Label would resize masks to it
                "source_shape": np.asarray(source.pixels.shape),
                "spacing_mm": np.asarray(source.spacing_mm or UNKNOWN_SPACING),
                "frame": source.frame,
            }
            item[key] = MetaTensor(torch.from_numpy(source.pixels.copy())[None], meta=meta)
        return item


class LoadMasksd(MapTransform):
    """Merge all masks of a case with OR into one ``MetaTensor`` (1, H, W) of 0 and 1.

    Args:
        keys: list of mask paths, removed from the item; an empty list stands for an image without lesion.
        image_key: the loaded image, whose size the masks must have.
        label_key: where the merged mask goes.

    Raises:
        UserError: a mask cannot be read or has another size than the image.
    """

    def __init__(self, keys: KeysCollection = "masks", *, image_key: str = "image", label_key: str = "label") -> None:
        super().__init__(keys)
        self.image_key = image_key
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the merged mask."""
        item = dict(data)
        paths = [Path(path) for key in self.keys for path in item.pop(key)]
        merged = read_masks(paths, tuple(item[self.image_key].shape[1:]))
        item[self.label_key] = MetaTensor(torch.from_numpy(merged.astype(np.float32))[None])
        return item
