"""Speed, start, masks and memory of ``bus-monai segment`` against MONAI's own loop.

    python benchmarks/segment.py [--model BUNDLE[:WEIGHTS]] [--images 40] [--rounds 3] [--memory 100 1000 [5000]]

The loop is LoadImage, Resize, the network in float32 with a batch of one, and the mask at the size of the image as PNG;
the job writes the same masks. Both run on the same images of BUSI in turn, in processes of their own, so that neither
warms the other; the rate is that of the images after the first, the model being loaded. The Dice is that of the job's
backend against PyTorch in float32, of the masks before specks are left out. A cold start is the command for one image
with its graph exported already. Peak memory is that of the process, by number of files, which are the images again and
again. Without --model it is a lite_unet of random weights, scaled so that part of the pixels are lesion; its masks
are in pieces, of which rounding changes more than of a trained network's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
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


class Clock:
    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def tell_rate(self, images: int) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        wall, processor = time.perf_counter() - self.wall, time.process_time() - self.processor
        tell({"rate": images / wall, "processor": processor / images, "peak_mib": peak})


def monai_loop(spec: str, source: Path, out: Path) -> None:
    import torch
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Resize, ScaleIntensityRange

    from bus_monai.inference.backends.bundle_parts import bundle_parts
    from bus_monai.inference.models import parse_models

    parts = bundle_parts(parse_models([spec])[0])
    load = Compose(
        [
            LoadImage(image_only=True, reader="PILReader", converter=lambda image: image.convert("L")),
            EnsureChannelFirst(channel_dim="no_channel"),
            ScaleIntensityRange(0, 255, 0, 1),
        ]
    )
    shrink = Resize(parts.size, mode="bilinear", anti_aliasing=True)
    began: Clock | None = None
    paths = sorted(source.glob("*.png"))
    with torch.inference_mode():
        for path in paths:
            image = load(path).transpose(1, 2)  # MONAI puts columns first
            probability = parts.network(shrink(image).as_tensor()[None])[0].sigmoid()
            mask = Resize(image.shape[1:], mode="bilinear")(probability)[0].numpy() >= 0.5
            Image.fromarray(mask.astype(np.uint8) * 255).save(out / f"{path.stem}_mask.png")
            began = began or Clock()
    assert began is not None
    began.tell_rate(len(paths) - 1)


def our_job(spec: str, source: Path, out: Path, backend: str) -> None:
    from bus_monai.inference.models import parse_models
    from bus_monai.inference.predictor import Predictor
    from bus_monai.inference.segment_run import SegmentSettings, segment_inputs

    predictor = Predictor(parse_models([spec])[0], backend=backend)  # type: ignore[arg-type]
    files = sorted(source.glob("*.png"))
    segment_inputs(files[:1], out, predictor, SegmentSettings(("png",)))
    began = Clock()
    segment_inputs([source], out, predictor, SegmentSettings(("png",)))
    began.tell_rate(len(files) - 1)


def dice_of_backend(spec: str, source: Path, out: Path, backend: str) -> None:
    from bus_monai.inference.models import parse_models
    from bus_monai.inference.predictor import Predictor
    from bus_monai.metrics.mask_dice import mask_dice
    from bus_monai.source import read_source

    (model,) = parse_models([spec])
    exact, ours = Predictor(model, backend="torch", precision="fp32"), Predictor(model, backend=backend)  # type: ignore[arg-type]
    values, shares = [], []
    for path in sorted(source.glob("*.png")):
        pixels = read_source(path).pixels
        one, other = exact.predict(pixels) >= 0.5, ours.predict(pixels) >= 0.5
        values.append(mask_dice(one, other))
        shares.append(float(one.mean()))
    tell({"dice": values, "share": statistics.mean(shares), "backend": ours.backend})


def random_weights(spec: str, source: Path, out: Path) -> None:
    import torch

    from bus_monai.inference.backends.bundle_parts import bundle_parts
    from bus_monai.inference.models import TrainedModel
    from bus_monai.registry import find_bundle
    from bus_monai.source import read_source

    torch.manual_seed(0)
    weights = out / "model.pt"
    bundle = find_bundle(spec)
    with tempfile.TemporaryDirectory() as name:
        network = _untrained(bundle)
        torch.save(network.state_dict(), Path(name) / "model.pt")
        parts = bundle_parts(TrainedModel(spec, bundle, f"{name}/model.pt"))
    network = parts.network.cpu()
    images = [torch.from_numpy(read_source(path).pixels)[None, None] for path in sorted(source.glob("*.png"))[:8]]
    small = torch.cat([torch.nn.functional.interpolate(image, parts.size, mode="bilinear") for image in images])
    head = next(module for name, module in network.named_modules() if name.endswith("head") and hasattr(module, "bias"))
    with torch.no_grad():
        head.weight *= 2 / network(small).std()
        head.bias -= network(small).quantile(0.995)
    torch.save(network.state_dict(), weights)
    tell({"weights": str(weights)})


def _untrained(bundle: Path) -> Any:
    from monai.bundle.scripts import create_workflow

    workflow = create_workflow(config_file=str(bundle / "configs" / "inference.json"), workflow_type="infer")
    return workflow.parser.get_parsed_content("network_def").eval()


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
    parser.add_argument("--model", default="", help="BUNDLE[:WEIGHTS]")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[100, 1000], help="numbers of files, such as 5000")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, source, out = options.child
        run = {"monai": monai_loop, "weights": random_weights, "job": our_job, "dice": dice_of_backend}[kind]
        more = (options.backend,) if kind in ("job", "dice") else ()
        run(options.model, Path(source), Path(out), *more)  # type: ignore[operator]
        return
    paths = [path for path in sorted(options.data.glob("*/*.png")) if "_mask" not in path.stem]
    paths = paths[:: max(1, len(paths) // options.images)]
    with tempfile.TemporaryDirectory() as name:
        measure(options, [path.resolve() for path in paths], Path(name))


def measure(options: argparse.Namespace, paths: Sequence[Path], folder: Path) -> None:
    source, backend = link(paths, options.images, folder / "images"), options.backend
    model = options.model
    if not model:
        weights = child("weights", "lite_unet", source, folder / "weights", backend)["weights"]
        model = f"lite_unet:{weights}"
        print("lite_unet of random weights")
    agreement = child("dice", model, source, folder / "dice", backend)  # exports the graph too
    changes = [1 - value for value in agreement["dice"]]
    print(
        f"1 - Dice of {agreement['backend']} against PyTorch in float32: mean {statistics.mean(changes):.4f}, most "
        f"{max(changes):.4f}, on {len(changes)} images, {agreement['share']:.1%} of the pixels lesion"
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
    image = next(source.glob("*.png"))
    starts = [cold_start(model, image, folder / f"cold{turn}", backend) for turn in range(options.rounds)]
    best = min(starts, key=lambda found: found["processor"])
    print(
        f"cold start: {min(s['wall'] for s in starts):.2f} s, {best['processor']:.2f} s of the processor, "
        f"{best['modules']} modules, of the heavy ones {', '.join(best['heavy'])}"
    )
    for count in options.memory:
        many = link(paths, count, folder / f"many{count}")
        found = child("job", model, many, folder / f"out{count}", backend)
        print(f"{count:5} files: peak memory {found['peak_mib']:.0f} MiB, {found['rate']:.1f} images/s")


def print_ratio(what: str, ratios: list[float]) -> None:
    middle = statistics.median(ratios)
    print(f"ratio of {what}: {middle:.2f} (of rounds {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
