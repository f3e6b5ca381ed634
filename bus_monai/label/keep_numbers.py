"""Numbers of lesions that stay through a change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from bus_monai.lesion import label_components


def keep_numbers(mask: NDArray[np.bool_], before: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the labels of a changed mask.

    What is new and touches a lesion belongs to the nearest; what touches none gets the next free numbers, the largest
    first.

    Args:
        mask: (H, W), lesion now.
        before: (H, W), the number of the lesion, 0 outside.
    """
    markers = np.where(mask, before, 0).astype(np.int32)
    labels = watershed(np.zeros(mask.shape), markers, mask=mask, connectivity=2) if markers.any() else markers
    components, sizes = label_components(mask & (labels == 0))
    free = (number for number in range(1, 256) if number not in np.unique(before))
    for component, number in zip(range(1, len(sizes) + 1), free, strict=False):
        labels[components == component] = number
    return labels.astype(np.uint8)
