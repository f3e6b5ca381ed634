"""Frames per second of a JPEG baseline cine of 120 frames: decoded to gray, as ``read_frames`` does, and to RGB, as
pydicom does; and segmented, from the opened file to its outputs, with the model loaded, by one process and by one for
each core in turns. Starting the others counts.

    python benchmarks/cine.py [--kinds png seg] [--repeats N]
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydicom.data import get_testdata_file
from pydicom.pixels import iter_pixels

from bus_monai.bundle.models import find_model
from bus_monai.bundle.process import prepare_to_segment
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.executors.local import LocalExecutor, usable_cores
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.sources.read import read_all_frames


def rate(read: Callable[[Path], Iterable[Any]], path: Path, repeats: int) -> float:
    """Return the frames per second of the fastest of several runs."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        count = sum(1 for _ in read(path))
        seconds.append((time.perf_counter() - start) / count)
    return 1 / min(seconds)


def segmented(path: Path, kind: str, predictor: Predictor, repeats: int) -> dict[int, tuple[float, float]]:
    """Return the frames per second, and the milliseconds of the processor a frame, of the fastest of several runs, by
    the number of processes.
    """
    settings = SegmentSettings((kind,), any_body_part=True)  # it shows no breast
    found: dict[int, list[tuple[float, float]]] = {1: [], usable_cores(): []}
    for _ in range(repeats):
        for processes, times in found.items():
            with tempfile.TemporaryDirectory() as out:
                start, spent = time.perf_counter(), processor_seconds()
                segment_inputs([path], Path(out), predictor, settings, executor=LocalExecutor(processes))
                times.append((time.perf_counter() - start, processor_seconds() - spent))
    frames = sum(1 for _ in read_all_frames(path))
    return {
        processes: (frames / min(wall for wall, _ in times), 1000 * min(spent for _, spent in times) / frames)
        for processes, times in found.items()
    }


def processor_seconds() -> float:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=["png", "seg"], help="outputs, each segmented for alone")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(words)
    path = Path(str(get_testdata_file("color3d_jpeg_baseline.dcm")))
    reads = {"pydicom to RGB": iter_pixels, "read_frames to gray": read_all_frames}
    rates = {name: rate(read, path, options.repeats) for name, read in reads.items()}
    for name, value in rates.items():
        print(f"{name:20} {value:7.1f} frames/s")
    print(f"ratio {rates['read_frames to gray'] / rates['pydicom to RGB']:.1f}")
    prepare_to_segment()
    predictor = Predictor(find_model("lite_unet"), threads=1)
    for kind in options.kinds:
        for processes, (fast, spent) in segmented(path, kind, predictor, options.repeats).items():
            name = f"segmented to {kind}"
            print(f"{name:20} {fast:7.1f} frames/s, {spent:.1f} ms of the processor a frame, {processes} processes")


if __name__ == "__main__":
    main()
