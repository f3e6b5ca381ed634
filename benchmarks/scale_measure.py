"""Unit costs of ``bus-monai segment`` on this machine, and a run of it to hold a prediction against."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scale_files import syntax_name
from scale_model import Units
from tqdm import tqdm

from bus_monai.bundle.models import parse_models
from bus_monai.dicom.read import read_modality
from bus_monai.dicom.source_header import Algorithm
from bus_monai.geometry.lesion import Findings, find_findings
from bus_monai.inference.backends.torch import TorchBackend
from bus_monai.inference.manifest import Manifest, Outcome
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import SegmentedFile
from bus_monai.inference.write_outputs import FileWriter, candidate_names
from bus_monai.io.image import read_images
from bus_monai.io.opened import OpenedSource, open_source
from bus_monai.io.types import SourceImage

T = TypeVar("T")
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
COMMAND = "from bus_monai.cli.main import main; main()"
KINDS = (("overlay",), ("png",), ("seg",), ("seg", "sr"))
"""Written each on its own; a report refers to a segmentation, which is made with it."""


class Tally:
    """Processor seconds, bytes and counts by name, of one round over all files."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.bytes: Counter[str] = Counter()
        self.count: Counter[str] = Counter()

    def time(self, name: str, run: Callable[..., T], *values: object) -> T:
        start = time.process_time()
        result = run(*values)
        self.seconds[name] += time.process_time() - start
        return result


@dataclass(frozen=True)
class Run:
    """Seconds of a run of the command, by the clock and of the processor."""

    wall: float
    processor: float


def measure(files: Sequence[Path], spec: str, rounds: int) -> Units:
    """Take the stages apart on the same files; of several rounds the least of each stage counts.

    Following a lesion through a cine is not among the stages.

    Raises:
        UserError: a file cannot be read, or the model cannot be run.
    """
    predicts = _predicts(spec)
    tallies = []
    with tempfile.TemporaryDirectory() as name, tqdm(desc="measuring", total=len(files) * (rounds + 1)) as bar:
        for turn in range(rounds + 1):
            tally, out = Tally(), Path(name) / str(turn)
            out.mkdir()
            manifest = Manifest(out)
            for path in files:
                _measure_file(path, predicts, manifest, out, tally)
                bar.update()
            manifest.close()
            tallies.append(tally)
        # the first round warms up
        units = _units(tallies[1:], len(files))
        cold = [run_command(files[:1], spec, Path(name) / f"cold{turn}").processor for turn in range(rounds)]
    one = sum(units.decode.values()) / len(units.decode) + units.predict["openvino"] + units.find + units.file
    return replace(units, start=max(0.0, min(cold) - one - sum(units.write.values())))


def run_command(files: Sequence[Path], spec: str, out: Path) -> Run:
    """Run ``bus-monai segment`` in a process of its own, on the cores that this one may use."""
    words = ["segment", *map(str, files), "--out", str(out), "--model", spec]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def available_cores() -> int:
    return len(CORES)


def pin(cores: int) -> None:
    """Keep this process and its children to so many cores, where the system can."""
    # OpenVINO does not heed OMP_NUM_THREADS
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, CORES[:cores])
    torch.set_num_threads(cores)


def _predicts(spec: str) -> dict[str, Predict]:
    (model,) = parse_models([spec], segmenters=True)
    host = TorchBackend(model)
    host.parts = replace(host.parts, inferer=lambda image, network: torch.zeros_like(image))
    return {
        "openvino": Predictor(model, backend="openvino").predict,
        "torch": Predictor(model, backend="torch").predict,
        "gpu host": host,
    }


def _measure_file(path: Path, predicts: dict[str, Predict], manifest: Manifest, out: Path, tally: Tally) -> None:
    with open_source(path) as source:
        _measure_source(source, predicts, manifest, out, tally)


def _measure_source(
    source: OpenedSource, predicts: dict[str, Predict], manifest: Manifest, out: Path, tally: Tally
) -> None:
    path, syntax, now = source.path, syntax_name(source.path), datetime.now(timezone.utc)
    sha256 = tally.time("file", lambda: source.sha256)
    if source.kind == "dicom":
        tally.time("file", read_modality, source)
    entry = tally.time("file", manifest.enter, str(path.absolute()), candidate_names(PurePosixPath(path.name)))
    images = tally.time(f"decode {syntax}", lambda: list(read_images(source)))
    maps = {name: [tally.time(name, predict, image.pixels) for image in images] for name, predict in predicts.items()}
    result = tally.time("find", _find, images, maps["openvino"])
    rows = tuple(tally.time("find", result.rows))
    algorithm = Algorithm("lite_unet", "0", "0" * 64)
    for kinds in KINDS if source.kind == "dicom" else KINDS[:2]:
        writer, name = FileWriter(source, out, entry.name, lambda: algorithm, now), "+".join(kinds)
        written = tally.time(name, writer.write, result, kinds)
        tally.bytes[name] += sum((out / one).stat().st_size for one in written)
    tally.time("file", manifest.finish, entry, Outcome("done", "", sha256, written, rows))
    tally.bytes[syntax] += path.stat().st_size
    tally.count.update({syntax: len(images), "frames": len(images), "lesions": sum(map(len, result.lesions))})


def _find(images: Sequence[SourceImage], maps: Sequence[NDArray[np.float32]]) -> SegmentedFile:
    found: list[Findings] = [
        find_findings(map_, 0.5, spacing_mm=image.spacing_mm) for image, map_ in zip(images, maps, strict=True)
    ]
    labels = [one.labels.astype(np.uint16) for one in found]
    shown = int(np.argmax([np.count_nonzero(one) for one in labels]))
    lesions = [one.lesions for one in found]
    return SegmentedFile(labels, lesions, images[0].spacing_mm, shown, images[shown].pixels)


def _units(tallies: Sequence[Tally], files: int) -> Units:
    count, size = tallies[0].count, tallies[0].bytes
    frames = count["frames"]

    def seconds(name: str) -> float:
        return min(tally.seconds[name] for tally in tallies)

    syntaxes = sorted(name for name in count if name not in ("frames", "lesions"))
    write, bytes_out = (
        {
            "seg": of("seg") / frames,
            "sr": (of("seg+sr") - of("seg")) / files,
            "overlay": of("overlay") / files,
            "png": of("png") / frames,
        }
        for of in (seconds, size.__getitem__)
    )
    return Units(
        decode={name: seconds(f"decode {name}") / count[name] for name in syntaxes},
        bytes_in={name: size[name] / count[name] for name in syntaxes},
        predict={name: seconds(name) / frames for name in ("openvino", "torch", "gpu host")},
        find=seconds("find") / frames,
        write={name: max(0.0, value) for name, value in write.items()},
        bytes_out=bytes_out,
        file=seconds("file") / files,
        start=0.0,
        lesions=count["lesions"] / frames,
    )
