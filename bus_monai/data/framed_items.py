"""From cases to one item a mass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bus_monai.data.case import Case
from bus_monai.data.dataset import to_items
from bus_monai.detection.mask_box import mask_box
from bus_monai.errors import UserError
from bus_monai.source import is_lesion, read_raster


def framed_items(cases: Sequence[Case], frame: str) -> list[dict[str, Any]]:
    """Turn cases into the dictionaries that transforms take, one a mass, or one an image for ``frame`` ``full``.

    Args:
        cases: with one mask file a mass; those without a mask are left out, since nothing tells where to crop.
        frame: ``full``, or any other, which needs a box.

    Returns:
        Items as :func:`~bus_monai.data.dataset.to_items` makes them. Those of a mass have the id of their case with
        ``_m1``, ``_m2`` and so on behind, all masks of the image, and ``box``: top, left, bottom, right of their own
        mask in pixels of the image, (4,) int64, bottom and right outside.

    Raises:
        UserError: a mask is empty or cannot be read, or no case has a mask.
    """
    items = to_items(cases)
    if frame == "full":
        return items
    framed = [
        item | {"id": f"{item['id']}_m{number}", "box": _box(case, number)}
        for case, item in zip(cases, items, strict=True)
        for number in range(1, len(case.masks) + 1)
    ]
    if cases and not framed:
        raise UserError(f"None of the {len(cases)} images has a mask to crop around: add masks, or set frame to full.")
    return framed


def _box(case: Case, number: int) -> np.ndarray:
    path = case.masks[number - 1]
    mask = is_lesion(read_raster(path), path)
    if not mask.any():
        raise UserError(f"The mask '{path}' is empty, so that there is nothing to crop around: remove it.")
    left, top, right, bottom = mask_box(mask)
    return np.array([top, left, bottom, right], dtype=np.int64)
