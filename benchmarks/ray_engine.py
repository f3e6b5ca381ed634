"""How ``bus-monai segment --engine ray`` gains by workers.

    python benchmarks/ray_engine.py [--model BUNDLE[:WEIGHTS]] [--images 200] [--workers 1 2] [--rounds 3]

Phantoms as DICOM become masks, SEG and SR. The rate is that of the files recorded after the first quarter, and at least
after the first batch, so that the start of the workers is no part of it. ``by local`` is the rate by that of the local
engine with as many processes, ``by worker`` that of a worker by that of one among the fewest. All take turns.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from bus_monai.bundle.models import parse_models
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.executors.local import Executor, LocalExecutor, Record, Task
from bus_monai.inference.executors.ray import RayExecutor, ray_session
from bus_monai.inference.manifest import Outcome
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings

KINDS = ("seg", "sr", "png")
PICTURES = 8
"""Phantoms as PNG too, beside the folder."""


@dataclass
class Timed:
    """An engine, and when it recorded each file."""

    engine: Executor
    times: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.engine.name

    def __call__(self, segment: SegmentFile, tasks: Iterator[Task], record: Record) -> None:
        def timed(task: Task, outcome: Outcome) -> None:
            record(task, outcome)
            self.times.append(time.perf_counter())

        self.engine(segment, tasks, timed)

    def rate(self, batch: int) -> float:
        """Return the files per second after the first ``batch``."""
        return (len(self.times) - batch) / (self.times[-1] - self.times[batch - 1])


def write_phantoms(folder: Path, count: int, size: tuple[int, int]) -> Path:
    folder.mkdir()
    header = pydicom.dcmread(str(get_testdata_file("US1_UNCR.dcm", download=False)))
    for number in range(count):
        pixels = make_phantom(number, size).image
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
        header.Rows, header.Columns = size
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.PixelData = pixels.tobytes()
        header.pop("PlanarConfiguration", None)
        header.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
        if number < PICTURES:
            Image.fromarray(pixels).save(folder.with_name(f"{number}.png"))
    return folder


def measure(predictor: Predictor, source: Path, out: Path, engine: Executor, batch: int) -> tuple[float, float]:
    """Return the files per second, and the seconds of the whole job."""
    timed = Timed(engine)
    began = time.perf_counter()
    totals = segment_inputs([source], out, predictor, SegmentSettings(KINDS), executor=timed)
    seconds = time.perf_counter() - began
    if totals["failed"]:
        sys.exit(f"{totals['failed']} phantoms could not be segmented, see '{out}/results.csv'.")
    return timed.rate(batch), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lite_unet", help="BUNDLE[:WEIGHTS]")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as below:
        folder = Path(below)
        source = write_phantoms(folder / "phantoms", options.images, tuple(options.size))
        predictor = Predictor(parse_models([options.model])[0], backend=options.backend)
        engines: dict[str, Executor] = {f"local {count}": LocalExecutor(processes=count) for count in options.workers}
        engines |= {f"ray {count}": RayExecutor(workers=count) for count in options.workers}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
        with ray_session("local", max(options.workers)):
            for turn in range(options.rounds):
                for name, engine in engines.items():
                    batch = math.ceil(options.images / 4)
                    if isinstance(engine, RayExecutor):
                        # what a worker is handed at once is recorded at once
                        batch = max(batch, engine.at_once(options.images, engine.workers or 1))
                    found[name].append(measure(predictor, source, folder / f"{name}{turn}", engine, batch))
    tell(found, options.workers)


def tell(found: dict[str, list[tuple[float, float]]], workers: list[int]) -> None:
    least = min(workers)
    print("| engine | files/s | by local | by worker | seconds in all |\n|---|---:|---:|---:|---:|")
    for name, runs in found.items():
        kind, count = name.split()
        rate = statistics.median(rate for rate, _ in runs)
        by_local, by_worker = (_ratio(runs, found[other]) for other in (f"local {count}", f"{kind} {least}"))
        seconds = statistics.median(seconds for _, seconds in runs)
        print(f"| {name} | {rate:.1f} | {by_local:.2f} | {by_worker * least / int(count):.2f} | {seconds:.1f} |")


def _ratio(runs: list[tuple[float, float]], others: list[tuple[float, float]]) -> float:
    """Return the median over rounds of one rate by another."""
    return statistics.median(rate / other for (rate, _), (other, _) in zip(runs, others, strict=True))


if __name__ == "__main__":
    main()
