"""Frames per second of a JPEG baseline cine: to gray as ``read_frames`` does, and to RGB as pydicom does."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydicom.data import get_testdata_file
from pydicom.pixels import iter_pixels

from bus_monai.sources.read import read_all_frames

REPEATS = 3


def rate(read: Callable[[Path], Iterable[Any]], path: Path) -> float:
    """Return the frames per second of the fastest of several runs."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        count = sum(1 for _ in read(path))
        seconds.append((time.perf_counter() - start) / count)
    return 1 / min(seconds)


def main() -> None:
    path = Path(str(get_testdata_file("color3d_jpeg_baseline.dcm")))
    rates = {"pydicom to RGB": rate(iter_pixels, path), "read_frames to gray": rate(read_all_frames, path)}
    for name, value in rates.items():
        print(f"{name:20} {value:7.1f} frames/s")
    print(f"ratio {rates['read_frames to gray'] / rates['pydicom to RGB']:.1f}")


if __name__ == "__main__":
    main()
