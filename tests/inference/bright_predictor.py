"""A predictor that needs no network: lesion is what is bright."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import find_bundle
from bus_monai.inference.backends.backend import Prediction
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from tests.waiting import wait_until


class BrightPredictor:
    """Give 1 where a pixel is above a half.

    Args:
        weights: a file that is made.
        seconds: that an image takes.
        stop_at: number of the image at which it waits until a file is there.
    """

    name, version, weights_hash, backend, precision, tta = "bright", "1", "0" * 64, "numpy", "fp32", False
    sensitivity, calibration = "balanced", None

    def __init__(self, weights: Path, seconds: float = 0, stop_at: tuple[int, Path] | None = None) -> None:
        weights.write_bytes(b"none")
        self.model = TrainedModel("bright", find_bundle("baseline"), str(weights))
        self.seconds = seconds
        self.stop_at = stop_at
        self.images = 0

    def predict(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        time.sleep(self.seconds)
        self.images += 1
        if self.stop_at is not None and self.images >= self.stop_at[0]:
            wait_until(self.stop_at[1].exists)
        return (pixels > 0.5).astype(np.float32)

    def assess(self, pixels: NDArray[np.float32], regions: object = None) -> Prediction:
        return Prediction(self.predict(pixels))


if __name__ == "__main__":
    source, out, seconds = sys.argv[1:]
    predictor = BrightPredictor(Path(source).parent / "weights", float(seconds))
    kinds = ("overlay", "png", "nifti")
    print("ready", flush=True)
    segment_inputs([Path(source)], Path(out), predictor, SegmentSettings(kinds))  # type: ignore[arg-type]
