"""Unit costs of ``bus-monai segment`` on this machine, on generated files or others, and a run of it as a whole."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from scale_model import Units
from tqdm import tqdm

from bus_monai.bundle.models import parse_models
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.dicom.read import read_modality
from bus_monai.dicom.source_header import Algorithm
from bus_monai.geometry.lesion import Findings, find_findings
from bus_monai.inference.backends.torch import TorchBackend
from bus_monai.inference.manifest import Manifest, Outcome
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import SegmentedFile
from bus_monai.inference.write_outputs import FileWriter, candidate_names
from bus_monai.io.image import SourceImage
from bus_monai.io.opened import OpenedSource, open_source
from bus_monai.sources.read import read_images

T = TypeVar("T")
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
SYNTAXES = {
    "uncompressed": uid.ExplicitVRLittleEndian,
    "RLE": uid.RLELossless,
    "JPEG baseline": uid.JPEGBaseline8Bit,
    "JPEG 2000": uid.JPEG2000Lossless,
}
DISTINCT = 4
"""Phantoms that the files show, again and again: to make one takes longer than to segment it."""
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


def write_files(folder: Path, count: int, size: tuple[int, int], seed: int = 0) -> list[Path]:
    """Write ``count`` single-frame color ultrasound objects of height and width ``size`` and return their paths."""
    folder.mkdir(parents=True)
    gray = [make_phantom(seed + i, size).image for i in range(min(count, DISTINCT))]
    pictures = [np.stack([image] * 3, axis=-1) for image in gray]
    paths = []
    for number in tqdm(range(count), desc="writing files", leave=False):
        name = list(SYNTAXES)[number % len(SYNTAXES)]
        paths.append(folder / f"{number:05d}.dcm")
        made = as_ultrasound(pictures[number // len(SYNTAXES) % len(pictures)], name, number)
        made.save_as(paths[-1], enforce_file_format=True)
    return paths


def as_ultrasound(rgb: NDArray[np.uint8], syntax: str, number: int = 0) -> Dataset:
    """Make an Ultrasound Image (DICOM PS3.3 A.6) of (H, W, 3) in a transfer syntax of ``SYNTAXES``, calibrated."""
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = rgb.shape[1] - 1, rgb.shape[0] - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 4.0 / rgb.shape[0]  # 4 cm deep
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = uid.UltrasoundImageStorage
    names = (uid.generate_uid(entropy_srcs=["scale", level, str(number)]) for level in ("study", "series", "image"))
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = names
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Breast", "PHANTOM", "", "F"
    ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ds.StudyID = ""
    ds.Modality, ds.Laterality, ds.SeriesNumber, ds.InstanceNumber = "US", "L", 1, number + 1
    ds.Manufacturer, ds.ImageType, ds.PatientOrientation = "bus_monai", ["ORIGINAL", "PRIMARY"], ""
    ds.SequenceOfUltrasoundRegions = [region]
    ds.Rows, ds.Columns, ds.SamplesPerPixel = *rgb.shape[:2], 3
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = rgb.tobytes()
    if syntax == "JPEG baseline":
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "JPEG", quality=90, subsampling="4:2:2")
        ds.PixelData = encapsulate([buffer.getvalue()])
        ds["PixelData"].is_undefined_length = True
        ds.PhotometricInterpretation, ds.LossyImageCompression = "YBR_FULL_422", "01"
        ds.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    elif syntax != "uncompressed":
        if syntax == "JPEG 2000":
            ds.PhotometricInterpretation = "YBR_RCT"  # what the encoder turns RGB into
        ds.compress(SYNTAXES[syntax], generate_instance_uid=False)
    return ds


def syntax_name(path: Path) -> str:
    """Return what the transfer syntax of a file is called here, its kind (``PNG``) where it is no DICOM."""
    try:
        found = read_file_meta_info(path).TransferSyntaxUID
    except InvalidDicomError:
        return path.suffix.lstrip(".").upper()
    names = {known: name for name, known in SYNTAXES.items()} | {uid.JPEG2000: "JPEG 2000"}
    return names.get(found, found.name)


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
        cold = [run_command(files[:1], spec, Path(name) / f"cold{turn}")[1] for turn in range(rounds)]
    one = sum(units.decode.values()) / len(units.decode) + units.predict["openvino"] + units.find + units.file
    return replace(units, start=max(0.0, min(cold) - one - sum(units.write.values())))


def run_command(files: Sequence[Path], spec: str, out: Path) -> tuple[float, float]:
    """Run ``bus-monai segment`` in a process of its own, and return its seconds by the clock and of the processor."""
    words = ["segment", *map(str, files), "--out", str(out), "--model", spec]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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
        writer = FileWriter(source, out, entry.name, lambda: algorithm, now, lambda: read_images(source))
        name = "+".join(kinds)
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
