"""Predictors that tell which process saw what, and die of what they are told to."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bus_monai.geometry.box import Box, Region, only_inside
from bus_monai.inference.backends.backend import Prediction
from bus_monai.inference.segment_frames import Frame
from bus_monai.io.image import SourceImage
from tests.inference.bright_predictor import BrightPredictor
from tests.waiting import wait_until

UNLIKE, TOO_MUCH = 13, 14
"""Values of the lower left corner of a frame that is unlike a breast, and of one that only the first process takes."""


class Spread(BrightPredictor):
    """Notes which process saw an image of which height; the first process waits until the other has seen one.

    At an all white image another process than the first ends, as often as the file of that name says.
    """

    backend = "openvino"

    def __init__(self, weights: Path, seconds: float = 0) -> None:
        super().__init__(weights, seconds)
        self.folder = weights.parent
        self.first = os.getpid()

    def predict(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        (self.folder / f"seen-{os.getpid()}-{len(pixels)}").touch()
        if os.getpid() == self.first:
            wait_until(lambda: len(self.processes()) > 1)
        left = self.folder / "deaths"
        if os.getpid() != self.first and pixels.min() == 1 and (deaths := int(left.read_text())):
            left.write_text(str(deaths - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(pixels)

    def processes(self, height: int | str = "*") -> set[int]:
        return {int(path.name.split("-")[1]) for path in self.folder.glob(f"seen-*-{height}")}


class Looking(Spread):
    """Also heeds the regions, and finds some frames unlike a breast, or too much for another process."""

    def assess(self, pixels: NDArray[np.float32], regions: Sequence[Region] | None = None) -> Prediction:
        corner = round(255 * float(pixels[-1, 0]))
        if corner == TOO_MUCH and os.getpid() != self.first:
            raise RuntimeError("no memory")
        found = self.predict(pixels)
        return Prediction(only_inside(regions, found) if regions else found, 2 if corner == UNLIKE else 0)


def frame_of(pixels: NDArray[np.uint8]) -> Frame:
    image = SourceImage(np.float32(pixels) / np.float32(255), None, frame=7, frames=9)
    return Frame(image, (Region(Box.of_image(pixels.shape)),))
