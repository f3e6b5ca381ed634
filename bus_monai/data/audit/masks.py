"""Masks that do not fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bus_monai.data.audit.finding import Finding
from bus_monai.data.audit.listing import ListedImage
from bus_monai.errors import UserError
from bus_monai.lesion import label_components
from bus_monai.source import is_lesion, read_raster

LEAST_SHARE = 0.001
"""Of the image, below which a lesion is tiny."""


def find_mask_faults(image: ListedImage, shape: tuple[int, int]) -> Iterator[Finding]:
    """Yield what is wrong with the masks of an image, and whether it has several lesions.

    A lesion is a connected region of the merged masks.

    Args:
        image: with its masks.
        shape: height and width of the image.
    """
    merged = np.zeros(shape, dtype=bool)
    read = 0
    for path in image.masks:
        try:
            values = read_raster(path)
        except UserError as error:
            yield Finding("unreadable", (path,), str(error))
            continue
        if values.shape != shape:
            detail = f"mask {values.shape[0]} x {values.shape[1]}, image {shape[0]} x {shape[1]} pixels"
            yield Finding("mask_size", (image.path, path), detail)
            continue
        merged |= is_lesion(values, path)
        read += 1
    if read == 0:
        return
    _, sizes = label_components(merged)
    tiny = sizes[sizes < LEAST_SHARE * merged.size]
    if sizes.size == 0 and image.diagnosis != "normal":
        yield Finding("empty_mask", (image.path,), f"no lesion, but the image is {image.diagnosis}")
    if tiny.size:
        yield Finding("tiny_lesion", (image.path,), f"{tiny.size} below 0.1 %: {', '.join(map(str, tiny[:5]))} pixels")
    if sizes.size - tiny.size > 1:
        yield Finding("several_lesions", (image.path,), f"{sizes.size - tiny.size} lesions")
