"""Colors of figures that everybody tells apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import rgb2lab

from bus_monai.report.image_figures import OUTCOME_COLORS, OUTCOME_OPACITY

# full severity, on linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15, 2009
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(color: str, kind: str, gray: float) -> np.ndarray:
    """Return the color over gray tissue as somebody color-blind sees it, in CIELAB."""
    mixed = (1 - OUTCOME_OPACITY) * gray + OUTCOME_OPACITY * np.asarray(to_rgb(color))
    linear = np.where(mixed <= 0.04045, mixed / 12.92, ((mixed + 0.055) / 1.055) ** 2.4)
    turned = np.clip(np.asarray(BLINDNESS[kind]) @ linear, 0, 1)
    back = np.where(turned <= 0.0031308, 12.92 * turned, 1.055 * turned ** (1 / 2.4) - 0.055)
    return np.asarray(rgb2lab(back))


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize("gray", [0.1, 0.4, 0.7])
def test_the_color_blind_tell_the_outcomes_apart(kind: str, gray: float) -> None:
    for first, second in combinations(OUTCOME_COLORS.values(), 2):
        assert np.linalg.norm(seen(first, kind, gray) - seen(second, kind, gray)) > 10
