"""What a model costs: parameters, operations, size and speed, beside its scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.run import bundle_parts
from bus_monai.io.atomic import write_table

TIMED_IMAGES, WARM_UP_IMAGES = 10, 2
"""Images whose times are taken, and those before them, in which memory is laid out."""
COSTS_FILE = "costs.csv"


@dataclass(frozen=True)
class Cost:
    """What one image costs.

    Args:
        parameters: of the network, all of them.
        gflops: billions of floating-point operations for an image of the size that the network was made for; a
            multiplication and its addition are two. Convolutions and products of matrices count.
        megabytes: of the files of weights.
        images_per_second: through the network alone, one image at a time, as PyTorch runs it here; the median of ten.
    """

    parameters: int
    gflops: float
    megabytes: float
    images_per_second: float


def measure_cost(model: TrainedModel) -> Cost:
    """Measure a trained model on the device that its bundle chooses.

    Raises:
        UserError: the weights are missing, broken or of another network.
    """
    parts = bundle_parts(model)
    network, image = parts.network, torch.zeros(1, 1, *parts.size, device=parts.device)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            network(image)
        seconds = [_timed(network, image) for _ in range(WARM_UP_IMAGES + TIMED_IMAGES)][WARM_UP_IMAGES:]
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gflops=counter.get_total_flops() / 1e9,
        megabytes=sum(file.stat().st_size for file in model.files) / 1e6,
        images_per_second=1 / median(seconds),
    )


def _timed(network: torch.nn.Module, image: torch.Tensor) -> float:
    start = time.perf_counter()
    network(image)
    if image.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def write_costs(folder: Path, costs: Mapping[str, Cost]) -> None:
    """Write ``costs.csv``: a row per model.

    Raises:
        UserError: the file cannot be written.
    """
    columns = ["model", *(field.name for field in fields(Cost))]
    write_table(folder / COSTS_FILE, columns, ([name, *astuple(cost)] for name, cost in costs.items()))


def costs_text(costs: Mapping[str, Cost], scores: Mapping[str, str]) -> str:
    """Lay the costs out for a terminal.

    Args:
        costs: by the name of the model.
        scores: what stands behind them, by the same names.
    """
    width = max(map(len, costs))
    lines = [f"{'':{width}}  parameters   GFLOPs       MB  images/s  Dice"]
    for name, cost in costs.items():
        lines.append(
            f"{name:{width}}  {cost.parameters / 1e6:8.2f} M {cost.gflops:8.2f} {cost.megabytes:8.1f} "
            f"{cost.images_per_second:9.2f}  {scores.get(name, '')}"
        )
    return "\n".join(lines)
