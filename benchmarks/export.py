"""Drift and speed of exported models against PyTorch in float32.

    python benchmarks/export.py BUNDLE:WEIGHTS... [--images BUSI] [--rounds 5] [--timed 8]

One row per model and file: the largest difference of a pixel's probability, the mean change of Dice, and how many times
as fast as PyTorch in float32 the file segments an image, its loading being no part of it. The two run in turn on the
same images; the ratio is that of their medians.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from bus_monai.bundle.models import TrainedModel, parse_models
from bus_monai.inference.export import FORMAT_SUFFIXES, Drift, ExportReference, Format, export_model, open_exported
from bus_monai.inference.quantize import export_images

FILES: tuple[tuple[Format, bool], ...] = (
    ("torchscript", False),
    ("onnx", False),
    ("onnx", True),
    ("openvino", False),
    ("openvino", True),
)
HEAD = "| model | file | largest difference | change of Dice | times PyTorch |\n|---|---|---:|---:|---:|"


def times_eager(
    exported: Callable[[NDArray[np.float32]], object],
    eager: Callable[[NDArray[np.float32]], object],
    images: Sequence[NDArray[np.float32]],
    rounds: int,
) -> float:
    """Return the median seconds of ``eager`` by those of ``exported``."""
    seconds: dict[object, list[float]] = {exported: [], eager: []}
    for turn in range(rounds + 1):
        for run, taken in seconds.items():
            for pixels in images:
                start = time.perf_counter()
                run(pixels)  # type: ignore[operator]
                if turn:  # the first round warms up
                    taken.append(time.perf_counter() - start)
    return statistics.median(seconds[eager]) / statistics.median(seconds[exported])


def measure(
    model: TrainedModel, format: Format, int8: bool, images: Path | None, rounds: int, timed: int
) -> tuple[Drift, float]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"model{FORMAT_SUFFIXES[format]}"
        drift = export_model(model, file, format=format, int8=int8, images=images)
        reference = ExportReference(model)
        exported = open_exported(file, format, reference.chain)
        shown = export_images(model, images, calibrate=False)[1][:timed]
        pixels = [reference.read(image)[0] for image in shown]
        return drift, times_eager(exported, reference, pixels, rounds)


def row(name: str, format: str, int8: bool, drift: Drift, ratio: float) -> str:
    file = f"{format} int8" if int8 else format
    return f"| {name} | {file} | {drift.largest:.1e} | {drift.dice_change:+.4f} | {ratio:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="BUNDLE:WEIGHTS")
    parser.add_argument("--images", type=Path, help="to calibrate, compare and time on; phantoms by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timed", type=int, default=8, help="images per round")
    options = parser.parse_args()
    print(HEAD, flush=True)
    files = [one for one in FILES if one != ("openvino", True) or importlib.util.find_spec("nncf")]
    models = parse_models(options.models, segmenters=True)
    with tqdm(total=len(models) * len(files), unit="file") as bar:
        for model in models:
            for format, int8 in files:
                bar.set_description(f"{model.name} {format}")
                found = measure(model, format, int8, options.images, options.rounds, options.timed)
                bar.write(row(model.bundle.name, format, int8, *found))
                bar.update()
    print(f"\n{torch.get_num_threads()} threads, PyTorch {torch.__version__}.")


if __name__ == "__main__":
    main()
