"""Speed, start, masks and memory of ``bus-monai segment`` against MONAI's own loop.

    python benchmarks/segment.py [--model BUNDLE[:WEIGHTS]] [--images 200] [--rounds 5] [--memory 100 1000 [5000]]

The loop is LoadImage, Resize, the network in float32 with a batch of one, and the mask at the size of the image as PNG;
the job writes the same masks. Both run on the same images of BUSI in turn, in processes of their own, so that neither
warms the other; the rate is that of the second half of the images, when models are loaded and all processes of the job
have begun, and the processor's time is that of all of them. Dice is that of the masks of
the job's backend and of PyTorch in float32, and how it changes against the true lesions, before specks are left out. A
cold start is the command for one image with its graph exported already. Memory is the most that all processes of the
job have at a time, what they share counted once, by number of files, which are the images again and again. The limit
of a core is what OpenVINO reaches in a large convolution of the same precision.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SHARED = Path(os.environ.get("BUS_MONAI_SHARED", Path(__file__).resolve().parents[2] / "shared"))
COLD = """
import json, resource, sys, time
began = time.perf_counter()
from bus_monai.cli.main import main
try:
    main()
except SystemExit:
    pass
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "wall": time.perf_counter() - began, "processor": usage.ru_utime + usage.ru_stime, "modules": len(sys.modules),
    "heavy": sorted({"torch", "monai", "skimage", "scipy", "pydicom", "openvino", "onnxruntime"} & set(sys.modules)),
}))
"""


FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8")
LIMIT_LAYERS = 6
"""Convolutions one after the other, by which the limit of a core is measured."""
SAMPLED = 50
"""Images after which memory is looked at."""


class Clock:
    """Rate and time of the processor of this process and all below it, from the half of the images on; or their memory,
    which takes time to look at.
    """

    def __init__(self, images: int, *, looks_at_memory: bool = False) -> None:
        self.images, self.half, self.seen, self.memory = images, images // 2, 0, 0.0
        self.looks_at_memory = looks_at_memory
        self.wall = self.processor = 0.0

    def tick(self) -> None:
        self.seen += 1
        if self.seen == self.half:
            self.wall, self.processor = time.perf_counter(), processor_seconds()
        if self.looks_at_memory and (self.seen % SAMPLED == 0 or self.seen == self.images):
            self.memory = max(self.memory, memory_mib())
        if self.seen == self.images:
            count, wall = self.images - self.half, time.perf_counter() - self.wall
            spent = (processor_seconds() - self.processor) / count
            tell({"rate": count / wall, "processor": spent, "peak_mib": self.memory})


def descendants() -> list[tuple[Path, float]]:
    """Return this process and all below it, with the seconds of the processor that each has had."""
    tick, found, children = os.sysconf("SC_CLK_TCK"), {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[folder.name] = sum(map(int, fields[11:15])) / tick
        children.setdefault(fields[1], []).append(folder.name)
    ours = [str(os.getpid())]
    for process in ours:
        ours += children.get(process, [])
    return [(Path("/proc", process), found[process]) for process in ours]


def processor_seconds() -> float:
    return sum(seconds for _, seconds in descendants())


def memory_mib() -> float:
    total = 0
    for folder, _ in descendants():
        try:
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def processor_name() -> str:
    words = dict(line.split("\t: ") for line in Path("/proc/cpuinfo").read_text().splitlines() if "\t: " in line)
    flags = words.get("flags\t", words.get("flags", "")).split()
    name = next((value for key, value in words.items() if key.strip() == "model name"), "unknown processor")
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {', '.join(f for f in FEATURES if f in flags)}"


def monai_loop(spec: str, source: Path, out: Path) -> None:
    import torch
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Resize, ScaleIntensityRange

    from bus_monai.bundle.models import parse_models
    from bus_monai.bundle.run import bundle_parts

    parts = bundle_parts(parse_models([spec])[0])
    load = Compose(
        [
            LoadImage(image_only=True, reader="PILReader", converter=lambda image: image.convert("L")),
            EnsureChannelFirst(channel_dim="no_channel"),
            ScaleIntensityRange(0, 255, 0, 1),
        ]
    )
    shrink = Resize(parts.size, mode="bilinear", anti_aliasing=True)
    paths = sorted(source.glob("*.png"))
    clock = Clock(len(paths))
    with torch.inference_mode():
        for path in paths:
            image = load(path).transpose(1, 2)  # MONAI puts columns first
            probability = parts.network(shrink(image).as_tensor()[None])[0].sigmoid()
            mask = Resize(image.shape[1:], mode="bilinear")(probability)[0].numpy() >= 0.5
            Image.fromarray(mask.astype(np.uint8) * 255).save(out / f"{path.stem}_mask.png")
            clock.tick()


def our_job(spec: str, source: Path, out: Path, backend: str, *, looks_at_memory: bool = False) -> None:
    from bus_monai.bundle.models import parse_models
    from bus_monai.bundle.process import prepare_to_segment
    from bus_monai.inference.batch import segment_inputs
    from bus_monai.inference.executors.local import MAX_PROCESSES, LocalExecutor, usable_cores
    from bus_monai.inference.predictor import Predictor
    from bus_monai.inference.segment_file import SegmentSettings

    prepare_to_segment()  # as the command does
    clock = Clock(sum(1 for _ in source.glob("*.png")), looks_at_memory=looks_at_memory)

    class Timed(LocalExecutor):
        def __call__(self, segment: Any, tasks: Any, record: Any) -> None:
            super().__call__(segment, tasks, lambda *known: (record(*known), clock.tick()))

    predictor = Predictor(parse_models([spec])[0], backend=backend, threads=1)  # type: ignore[arg-type]
    executor = Timed(min(usable_cores(), MAX_PROCESSES))
    segment_inputs([source], out, predictor, SegmentSettings(("png",)), executor=executor)


def dice_of_backend(spec: str, source: Path, out: Path, backend: str) -> None:
    from bus_monai.bundle.models import parse_models
    from bus_monai.inference.predictor import Predictor
    from bus_monai.io.image import read_masks
    from bus_monai.metrics.segmentation import mask_dice
    from bus_monai.sources.read import read_source

    (model,) = parse_models([spec])
    exact, ours = Predictor(model, backend="torch", precision="fp32"), Predictor(model, backend=backend)  # type: ignore[arg-type]
    values, changes = [], []
    for path in sorted(source.glob("*.png")):
        image = path.resolve()
        pixels = read_source(path).pixels
        truth = read_masks(sorted(image.parent.glob(f"{image.stem}_mask*.png")), pixels.shape)
        one, other = exact.predict(pixels) >= 0.5, ours.predict(pixels) >= 0.5
        values.append(mask_dice(one, other))
        changes.append(mask_dice(other, truth) - mask_dice(one, truth))
    tell({"dice": values, "changes": changes, "backend": ours.backend})


def share_of_limit(spec: str, source: Path, out: Path, backend: str) -> None:
    """Tell how fast the network alone is, and convolutions of 512 to 512 channels at 64 x 64, the limit."""
    import openvino
    from openvino import opset8 as ops

    from bus_monai.bundle.models import parse_models
    from bus_monai.inference.backends.chain import CHAIN_FILE, GRAPH_FILE, Chain
    from bus_monai.inference.backends.openvino import OpenVinoBackend, convolutions, network_alone, quantize
    from bus_monai.inference.predictor import Predictor, find_graph

    predictor = Predictor(parse_models([spec])[0], backend=backend, threads=1)  # type: ignore[arg-type]
    network = predictor._backend
    if not isinstance(network, OpenVinoBackend):
        tell({})
        return
    folder, core = find_graph(predictor.model), openvino.Core()
    chain = Chain.read(folder / CHAIN_FILE)
    layers = convolutions(network_alone(core.read_model(folder / GRAPH_FILE), chain))
    operations = 2 * sum(prod(node.output(0).shape) * prod(list(node.input_value(1).shape)[-3:]) for node in layers)
    given = value = ops.parameter([1, 512, 64, 64], np.float32)
    weights = ops.constant(np.random.default_rng(0).standard_normal((512, 512, 1, 1), np.float32) / 16)
    for _ in range(LIMIT_LAYERS):
        value = ops.relu(ops.convolution(value, weights, [1, 1], [0, 0], [0, 0], [1, 1]))
    limit = openvino.Model([ops.reduce_max(value, ops.constant([0, 1, 2, 3]))], [given], "limit")
    if network.name == "openvino-int8":
        quantize(limit, {node.get_friendly_name(): (0.0, 4.0) for node in convolutions(limit)})
    compiled = core.compile_model(limit, "CPU", {"INFERENCE_NUM_THREADS": 1})
    noise, seen = np.random.default_rng(0).random((1, 512, 64, 64), np.float32), np.zeros(chain.size, np.float32)
    most = LIMIT_LAYERS * 2 * 512 * 512 * 64 * 64 / fastest(lambda: compiled([noise]))
    tell({"network": operations / fastest(lambda: network._model({"seen": seen, **chain.shift()})), "limit": most})


def fastest(run: Callable[[], object]) -> float:
    """Return the seconds of the processor of the fastest of some runs."""
    seconds = []
    for _ in range(20):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds)


def tell(found: dict[str, Any]) -> None:
    print(json.dumps(found))


def child(kind: str, spec: str, source: Path, out: Path, backend: str) -> dict[str, Any]:
    out.mkdir()
    words = ["--child", kind, str(source), str(out), "--model", spec, "--backend", backend]
    return last_line([sys.executable, __file__, *words])


def cold_start(spec: str, image: Path, out: Path, backend: str) -> dict[str, Any]:
    words = ["segment", str(image), "--out", str(out), "--model", spec, "--backend", backend]
    return last_line([sys.executable, "-c", COLD, *words])


def last_line(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def link(paths: Sequence[Path], count: int, folder: Path) -> Path:
    folder.mkdir()
    for number, path in enumerate(islice(cycle(paths), count)):
        (folder / f"{number:05d}.png").symlink_to(path)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "busi", help="BUSI as published")
    parser.add_argument("--model", default="lite_unet", help="BUNDLE[:WEIGHTS]")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="*", default=[100, 1000], help="numbers of files, such as 5000")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, source, out = options.child
        run = {
            "monai": monai_loop,
            "job": our_job,
            "memory": partial(our_job, looks_at_memory=True),
            "dice": dice_of_backend,
            "share": share_of_limit,
        }[kind]
        more = () if kind == "monai" else (options.backend,)
        run(options.model, Path(source), Path(out), *more)  # type: ignore[operator]
        return
    paths = [path for path in sorted(options.data.glob("*/*.png")) if "_mask" not in path.stem]
    paths = paths[:: max(1, len(paths) // options.images)]
    with tempfile.TemporaryDirectory() as name:
        measure(options, [path.resolve() for path in paths], Path(name))


def measure(options: argparse.Namespace, paths: Sequence[Path], folder: Path) -> None:
    print(processor_name())
    source, model, backend = link(paths, options.images, folder / "images"), options.model, options.backend
    agreement = child("dice", model, source, folder / "dice", backend)  # exports the graph too
    apart = [1 - value for value in agreement["dice"]]
    print(
        f"{agreement['backend']} against PyTorch in float32, {len(apart)} images: 1 - Dice of their masks mean "
        f"{statistics.mean(apart):.4f}, most {max(apart):.4f}; mean change of Dice with the true lesions "
        f"{statistics.mean(agreement['changes']):+.4f}"
    )
    runs: dict[str, list[dict[str, Any]]] = {"monai": [], "job": []}
    for turn in range(options.rounds):
        for kind, found in runs.items():
            found.append(child(kind, model, source, folder / f"{kind}{turn}", backend))
    for kind, found in runs.items():
        rate, processor = (statistics.median(run[key] for run in found) for key in ("rate", "processor"))
        print(f"{kind:6} {rate:7.1f} images/s, {processor:.3f} s of the processor an image")
    pairs = list(zip(runs["job"], runs["monai"], strict=True))
    print_ratio("images/s, job/MONAI loop", [job["rate"] / monai["rate"] for job, monai in pairs])
    print_ratio(
        "seconds of the processor, MONAI loop/job", [monai["processor"] / job["processor"] for job, monai in pairs]
    )
    if share := child("share", model, source, folder / "share", backend):
        print(
            f"network alone: {share['network'] / 1e9:.0f} of {share['limit'] / 1e9:.0f} billion operations a second, "
            f"{share['network'] / share['limit']:.2f} of one core's limit"
        )
    image = next(source.glob("*.png"))
    starts = [cold_start(model, image, folder / f"cold{turn}", backend) for turn in range(options.rounds)]
    best = min(starts, key=lambda found: found["processor"])
    print(
        f"cold start: {min(s['wall'] for s in starts):.2f} s, {best['processor']:.2f} s of the processor, "
        f"{best['modules']} modules, of the heavy ones {', '.join(best['heavy'])}"
    )
    for count in options.memory:
        many = link(paths, count, folder / f"many{count}")
        found = child("memory", model, many, folder / f"out{count}", backend)
        print(f"{count:5} files: memory {found['peak_mib']:.0f} MiB")


def print_ratio(what: str, ratios: list[float]) -> None:
    middle = statistics.median(ratios)
    print(f"ratio of {what}: {middle:.2f} (of rounds {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
