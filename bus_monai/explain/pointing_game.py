"""How much of a map lies in the lesion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def energy_inside(values: NDArray[np.floating], lesion: NDArray[np.bool_]) -> float | None:
    """Return the share of a map's sum that lies inside the lesion, the energy-based pointing game.

    Wang et al., Score-CAM, CVPR Workshops 2020, doi 10.1109/CVPRW50498.2020.00020. A map that knows nothing has the
    lesion's share of the image's area.

    Args:
        values: (H, W), none below 0.
        lesion: (H, W).

    Returns:
        A share in [0, 1], or ``None`` where there is no lesion or the map is 0 everywhere.

    Example:
        >>> energy_inside(np.array([[3.0, 1.0]]), np.array([[True, False]]))
        0.75
    """
    total = float(values.sum(dtype=np.float64))
    return float(values.sum(dtype=np.float64, where=lesion)) / total if total > 0 and lesion.any() else None
