"""What is known of one image after it was explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bus_monai.explain.methods import TITLES
from bus_monai.explain.pointing_game import energy_inside


@dataclass(frozen=True)
class ExplanationMap:
    """One map of an image.

    Args:
        method: one of :data:`~bus_monai.explain.methods.METHODS`.
        layer: name of the layer or of the attention block; empty where the method has none.
        values: in [0, 1]; (H, W) of the source image, or (C,) where a block weighs channels.
    """

    method: str
    layer: str
    values: NDArray[np.float32]

    @property
    def title(self) -> str:
        """Method and layer in words, a line each."""
        return TITLES[self.method] + (f"\n{self.layer}" if self.layer else "")


@dataclass(frozen=True)
class Explanation:
    """Image, truth, prediction and maps, all of the size of the source image.

    Args:
        image: (H, W), values in [0, 1].
        truth: (H, W), or ``None`` where it is not known.
        prediction: (H, W).
        maps: in the order of the methods.
    """

    image: NDArray[np.float32]
    truth: NDArray[np.bool_] | None
    prediction: NDArray[np.bool_]
    maps: Sequence[ExplanationMap]

    @property
    def chance(self) -> float | None:
        """The lesion's share of the image, or ``None`` where no lesion is known."""
        return float(self.truth.mean()) if self.truth is not None and self.truth.any() else None

    def energy(self, one: ExplanationMap) -> float | None:
        """Return the share of a map's energy inside the lesion, see :func:`energy_inside`."""
        return energy_inside(one.values, self.truth) if self.truth is not None and one.values.ndim == 2 else None
