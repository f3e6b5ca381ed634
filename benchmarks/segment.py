"""Images per second of ``bus-monai segment`` against MONAI's own loop, the change of the masks, and the peak memory.

    python benchmarks/segment.py [--model BUNDLE[:WEIGHTS]] [--images 100] [--rounds 3] [--memory 100 1000]

The loop is LoadImage, Resize, the network in float32 with a batch of one, and the mask at the size of the image as PNG;
the job writes the same masks. Both run on the same images of BUSI in turn, in processes of their own, so that neither
warms the other; the rate is that of the images after the first, the model being loaded. Peak memory is that of the
process, by number of files, which are the images again and again.
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
    began = 0.0
    paths = sorted(source.glob("*.png"))
    with torch.inference_mode():
        for number, path in enumerate(paths):
            image = load(path).transpose(1, 2)  # MONAI puts columns first
            probability = parts.network(shrink(image).as_tensor()[None])[0].sigmoid()
            mask = Resize(image.shape[1:], mode="bilinear")(probability)[0].numpy() >= 0.5
            Image.fromarray(mask.astype(np.uint8) * 255).save(out / f"{path.stem}_mask.png")
            began = began or (time.perf_counter() if number == 0 else 0.0)
    _tell(began, len(paths))


def our_job(spec: str, source: Path, out: Path, backend: str) -> None:
    from bus_monai.inference.models import parse_models
    from bus_monai.inference.predictor import Predictor
    from bus_monai.inference.segment_run import SegmentSettings, segment_inputs

    predictor = Predictor(parse_models([spec])[0], backend=backend)  # type: ignore[arg-type]
    files = sorted(source.glob("*.png"))
    segment_inputs(files[:1], out, predictor, SegmentSettings(("png",)))
    began = time.perf_counter()
    segment_inputs([source], out, predictor, SegmentSettings(("png",)))
    _tell(began, len(files))


def _tell(began: float, images: int) -> None:
    rate = (images - 1) / (time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": rate, "peak_mib": peak}))


def child(kind: str, spec: str, source: Path, out: Path, backend: str) -> dict[str, Any]:
    out.mkdir()
    command = [sys.executable, __file__, "--child", kind, str(source), str(out), "--model", spec, "--backend", backend]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def link(paths: Sequence[Path], count: int, folder: Path) -> Path:
    folder.mkdir()
    for number, path in enumerate(islice(cycle(paths), count)):
        (folder / f"{number:05d}.png").symlink_to(path)
    return folder


def dice(one: Path, other: Path) -> float:
    a, b = (np.asarray(Image.open(path)) > 0 for path in (one, other))
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum()) if a.any() or b.any() else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "busi", help="BUSI as published")
    parser.add_argument("--model", default="lite_unet", help="BUNDLE[:WEIGHTS]")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[100, 1000], help="numbers of files, such as 5000")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, source, out = options.child
        if kind == "monai":
            monai_loop(options.model, Path(source), Path(out))
        else:
            our_job(options.model, Path(source), Path(out), options.backend)
        return
    paths = [path for path in sorted(options.data.glob("*/*.png")) if "_mask" not in path.stem]
    paths = paths[:: max(1, len(paths) // options.images)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = link(paths, options.images, folder / "images")
        rates: dict[str, list[float]] = {"monai": [], "job": []}
        for turn in range(options.rounds):
            for kind, values in rates.items():
                found = child(kind, options.model, source, folder / f"{kind}{turn}", options.backend)
                values.append(found["rate"])
        pairs = [(path, folder / "job0" / path.name) for path in (folder / "monai0").glob("*_mask.png")]
        changes = [1 - dice(*pair) for pair in pairs]
        for kind, values in rates.items():
            print(f"{kind:6} {statistics.median(values):7.1f} images/s")
        ratios = [job / monai for job, monai in zip(rates["job"], rates["monai"], strict=True)]
        print(f"ratio  {statistics.median(ratios):7.2f} (of rounds {min(ratios):.2f} to {max(ratios):.2f})")
        print(f"1 - Dice between their masks: mean {statistics.mean(changes):.4f}, most {max(changes):.4f}")
        for count in options.memory:
            many = link(paths, count, folder / f"many{count}")
            peak = child("job", options.model, many, folder / f"out{count}", options.backend)["peak_mib"]
            print(f"peak memory with {count:5} files: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
