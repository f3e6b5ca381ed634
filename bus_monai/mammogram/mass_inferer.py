"""The detector of masses as MONAI's evaluators run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.inferers.inferer import Inferer
from torch import Tensor

from bus_monai.mammogram.mass_detector import FoundMass, MassDetector


class MassInferer(Inferer):
    """Give each image of a batch (B, 1, H, W) to a detector, which brings its own network.

    Args:
        detector: of one image.
    """

    def __init__(self, detector: MassDetector) -> None:
        super().__init__()
        self.detector = detector

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> list[list[FoundMass]]:
        """Return the masses of each image."""
        return [self.detector(image) for image in inputs]
