"""Which components of a mask are findings: not specks, and not hundreds."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bus_monai.lesion import Lesion

SMALLEST_MM = 2.0
"""A finding is at least so long across: the smallest of 745 lesions of ACRIN 6666 (Barr et al., Radiology 269, 2013,
doi:10.1148/radiol.13122829: "range, 2-135 mm")."""
DEEPEST_MM = 60.0
"""What an uncalibrated frame shows at most from top to bottom, so that it has a scale to judge specks by. The shortest
lesion of BUSI is 0.057 of its image's height across, this bound 0.033."""
MOST_LESIONS = 20
"""In a frame; a network that finds more has failed on it."""


@dataclass(frozen=True)
class Findings:
    """What is kept of the components of one frame.

    Args:
        labels: (H, W) int32, 0 outside.
        lesions: in the order of their numbers, the largest first.
        specks: how many components were too small.
        surplus: how many were beyond the ``MOST_LESIONS`` largest.
    """

    labels: NDArray[np.int32]
    lesions: list[Lesion]
    specks: int
    surplus: int


def find_findings(
    probability: NDArray[np.float32],
    threshold: float,
    *,
    spacing_mm: tuple[float, float] | None = None,
    min_area: float | None = None,
) -> Findings:
    """Return the largest components of lesion, and how many were left out.

    Args:
        probability: (H, W), in [0, 1].
        threshold: from which probability on a pixel is lesion.
        spacing_mm: of rows and columns.
        min_area: of a lesion, in mm2 where the spacing is known, else in pixels; ``None`` for a disc of
            ``SMALLEST_MM`` across.
    """
    from bus_monai.lesion import label_components, measure_lesions

    labels, sizes = label_components(probability >= threshold)
    pixel_area = 1.0 if spacing_mm is None else spacing_mm[0] * spacing_mm[1]
    large = int(np.count_nonzero(sizes * pixel_area >= smallest_area(probability.shape[0], spacing_mm, min_area)))
    kept = min(large, MOST_LESIONS)
    if kept < len(sizes):
        labels[labels > kept] = 0
    lesions = measure_lesions(labels, spacing_mm=spacing_mm, probability=probability)
    return Findings(labels, lesions, len(sizes) - large, large - kept)


def smallest_area(height: int, spacing_mm: tuple[float, float] | None, min_area: float | None) -> float:
    """Return the area of the smallest finding, in mm2 where the spacing is known, else in pixels.

    Args:
        height: of the frame, in pixels.
        spacing_mm: of rows and columns.
        min_area: what was asked for, or ``None``.
    """
    if min_area is not None:
        return min_area
    across = SMALLEST_MM if spacing_mm is not None else SMALLEST_MM * height / DEEPEST_MM
    return pi / 4 * across**2
