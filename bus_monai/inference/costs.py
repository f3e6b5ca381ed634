"""What a model costs: parameters, operations, size and speed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.run import bundle_parts

TIMED_IMAGES, WARM_UP_IMAGES = 10, 2
"""Images whose times are taken, and those before them, in which memory is laid out."""


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
