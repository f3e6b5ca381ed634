"""Images per second of each bundle's training step and inference, and the share of the device's peak that they reach.

    python benchmarks/gpu.py [--bundles lite_unet rdau_gan] [--batch 64] [--size 256] [--no-compile]
    python benchmarks/gpu.py --device cpu --bundles lite_unet --batch 2 --size 64 --calls 1 --no-compile

A training step is that of the bundle's own ``train.json``, on one batch of phantoms: a step of each network that
learns, with its mixed precision (float16 with loss scaling on CUDA, bfloat16 on a processor), copies and optimizers.
Inference is the network in bfloat16 and channels_last. Both are timed as they are and under ``torch.compile``. FLOPs
are those of ``torch.utils.flop_counter``; the peak is that of a large product of bfloat16 matrices on the same device.
Weights are random: they change no time.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from gpu_steps import Work, inference, training_step
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from bus_monai.bundle.registry import list_bundles

HEAD = [
    "bundle", "what", "pixels", "images", "precision", "GFLOP per image", "eager images/s", "compiled images/s",
    "share of peak",
]  # fmt: skip
NO_GPU = "There is no GPU that PyTorch can use: run it on a machine that has one, or with --device cpu."
WARM_UP = 3
TERA, GIGA = 1e12, 1e9


def seconds(run: Callable[[], object], device: torch.device, calls: int, rounds: int) -> float:
    """Return the median over rounds of the seconds of a call."""
    for _ in range(WARM_UP):
        run()
    found = []
    for _ in range(rounds):
        _wait(device)
        start = time.perf_counter()
        for _ in range(calls):
            run()
        _wait(device)
        found.append((time.perf_counter() - start) / calls)
    return statistics.median(found)


def peak(device: torch.device, side: int, calls: int, rounds: int) -> float:
    """Return the FLOP/s of a product of two bfloat16 matrices of so many rows and columns."""
    one, other = (torch.rand(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds(lambda: one @ other, device, calls, rounds)


def flops(run: Callable[[], object]) -> int:
    """Return the FLOPs of a call: of convolutions, products of matrices and attention, forwards and backwards."""
    mapping = {torch.ops.aten.convolution_backward: convolution_backward_flops}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        run()
    return counter.get_total_flops()


def convolution_backward_flops(
    grad_shape: Sequence[int], image_shape: Sequence[int], weight_shape: Sequence[int], bias: object, stride: object,
    padding: object, dilation: object, transposed: bool, output_padding: object, groups: int,
    wanted: Sequence[bool], out_shape: object,
) -> int:  # fmt: skip
    """Return what the gradients of image and weights take, as much each as the convolution itself.

    PyTorch's own formula leaves the groups out, which makes a depthwise convolution dearer by its channels.
    """
    seen = image_shape if transposed else grad_shape
    return 2 * sum(wanted[:2]) * image_shape[0] * prod(weight_shape) * prod(seen[2:])


def compile_in_place(work: Work) -> str:
    """Compile the networks and return why that is not possible here, empty where it is."""
    torch.compiler.reset()
    for network in work.networks:
        network.compile()
    try:
        work.run()
    except Exception as error:  # each back end of the compiler fails in its own way, such as for want of one
        return (str(error).splitlines() or [type(error).__name__])[0]
    return ""


@dataclass(frozen=True)
class Rates:
    """FLOPs per image, images per second eager and compiled, and why the latter are missing."""

    flops: float
    eager: float
    compiled: float | None
    reason: str = ""


def measure(work: Work, device: torch.device, words: argparse.Namespace) -> Rates:
    counted = flops(work.run) / work.images
    eager = work.images / seconds(work.run, device, words.calls, words.rounds)
    reason = compile_in_place(work) if words.compile else "--no-compile"
    if reason:
        return Rates(counted, eager, None, reason)
    return Rates(counted, eager, work.images / seconds(work.run, device, words.calls, words.rounds))


def row(name: str, what: str, work: Work, rates: Rates, top: float) -> str:
    share = rates.flops * max(rates.eager, rates.compiled or 0.0) / top
    cells = (
        name, what, f"{work.pixels[0]} x {work.pixels[1]}", str(work.images), work.precision,
        f"{rates.flops / GIGA:.2f}", f"{rates.eager:.1f}", "-" if rates.compiled is None else f"{rates.compiled:.1f}",
        f"{100 * share:.1f} %",
    )  # fmt: skip
    return line(cells)


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [info.name for info in list_bundles()]
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--bundles", nargs="+", choices=names, default=names)
    parser.add_argument("--data", help="data set to take the batch from; phantoms by default")
    parser.add_argument("--batch", type=int, help="images per training step; the bundle's own by default")
    parser.add_argument("--inference-batch", type=int, default=64)
    parser.add_argument("--size", type=int, help="side of the images, where the bundle leaves it open")
    parser.add_argument("--calls", type=int, default=20, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=8192, help="of the matrices that measure the peak")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def main() -> None:
    words = options()
    device = torch.device(words.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        sys.exit(2)
    size = [words.size, words.size] if words.size else None
    asked = {"dataset_dir": words.data, "batch_size": words.batch, "image_size": size}
    settings = {key: value for key, value in asked.items() if value is not None}
    top = peak(device, words.side, words.calls, words.rounds)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{name}, PyTorch {torch.__version__}; peak {top / TERA:.2f} TFLOP/s in bfloat16.\n")
    print(line(HEAD), line(["---", "---", "---:", "---:", "---", *["---:"] * 4]), sep="\n", flush=True)
    bundles = [info for info in list_bundles() if info.name in words.bundles]
    with tqdm(total=2 * len(bundles)) as bar, tempfile.TemporaryDirectory() as folder:
        for info in bundles:
            makers: dict[str, Callable[[], Work]] = {
                "training step": lambda b=info.root: training_step(b, Path(folder), device, settings),  # type: ignore[misc]
                "inference": lambda b=info.root: inference(b, device, words.inference_batch, settings),  # type: ignore[misc]
            }
            for what, make in makers.items():
                bar.set_description(f"{info.name} {what}")
                work = make()
                rates = measure(work, device, words)
                if rates.reason and words.compile:
                    bar.write(f"{info.name} {what} cannot be compiled: {rates.reason}", file=sys.stderr)
                bar.write(row(info.name, what, work, rates, top))
                bar.update()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
