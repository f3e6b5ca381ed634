"""Polygons as labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from bus_monai.errors import UserError


def fill_contours(contours: Sequence[Mapping[str, Any]], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the labels inside polygons, of lesions in the order of their numbers; one within another is a hole.

    Args:
        contours: each with the keys of :class:`~bus_monai.label.contours.Contour`, from somebody else.
        shape: frames, rows and columns of the image.

    Returns:
        (F, H, W), the number of the lesion, 0 outside.

    Raises:
        UserError: one is no polygon, has another frame, or a number that is not from 1 to 255.
    """
    inside: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for place, contour in enumerate(contours, start=1):
        try:
            label, frame = int(contour["label"]), int(contour["frame"])
            points = np.array(contour["points"], dtype=np.float64)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"Contour {place} is none: send 'label', 'frame' and 'points' of [column, row] each."
            ) from error
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise UserError(f"Contour {place} is no polygon: send three points of [column, row] or more.")
        if not (1 <= label <= 255 and 0 <= frame < shape[0]):
            raise UserError(
                f"Contour {place} is of lesion {label} in frame {frame}: number lesions from 1 to 255, and frames from "
                f"0 to {shape[0] - 1}."
            )
        known = inside.setdefault((label, frame), np.zeros(shape[1:], dtype=np.bool_))
        known ^= polygon2mask(shape[1:], points[:, ::-1])
    labels = np.zeros(shape, dtype=np.uint8)
    for (label, frame), mask in sorted(inside.items(), key=lambda entry: entry[0]):
        labels[frame][mask] = label
    return labels
