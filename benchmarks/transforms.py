"""Milliseconds of each speckle filter and equalization for 256x256 pixels on one core; run with OMP_NUM_THREADS=1."""

import os
import statistics
import time

import numpy as np
import torch

from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.transforms.contrast import SPECKLE_METHODS as EQUALIZATIONS
from bus_monai.transforms.contrast import HistogramEqualization
from bus_monai.transforms.speckle import SPECKLE_METHODS, SpeckleReduction

REPEATS = 15


def main() -> None:
    # ITK's threads do not heed OMP_NUM_THREADS
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    image = torch.from_numpy(make_phantom(0).image.astype(np.float32) / 255)[None]
    transforms = {name: SpeckleReduction(name) for name in SPECKLE_METHODS}
    transforms |= {f"equalize {name}": HistogramEqualization(name) for name in EQUALIZATIONS}
    print(f"{'filter':22} {'median of ' + str(REPEATS):>12}")
    for name, transform in transforms.items():
        transform(image)
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            transform(image)
            times.append(1000 * (time.perf_counter() - start))
        print(f"{name:22} {statistics.median(times):9.1f} ms")


if __name__ == "__main__":
    main()
