"""Distributed training under ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from monai.data.samplers import DistributedSampler
from torch import nn
from torch.utils.data import Dataset

from bus_monai.errors import UserError


def start() -> None:
    """Join the processes that ``torchrun`` started, over NCCL with CUDA and over Gloo without.

    Raises:
        UserError: not started by ``torchrun``.
    """
    if "LOCAL_RANK" not in os.environ:
        raise UserError(
            "multi_gpu_train.json needs several processes: start it with 'torchrun --nproc_per_node N -m monai.bundle "
            "run training --config_file ...', or leave it out."
        )
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        if torch.cuda.is_available():
            torch.cuda.set_device(own_device())


def own_device() -> torch.device:
    """Return the device of this process."""
    return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")


def finish() -> None:
    """Wait for all processes, the first of which may still be writing, and leave them."""
    # the launcher stops all when one is gone, and one that ends may fail in doing so
    dist.barrier()
    dist.destroy_process_group()


def share_buffers(networks: Iterable[nn.Module]) -> None:
    """Give all processes the buffers of the first, such as the running statistics of batch norm; alone, do nothing."""
    if not (dist.is_available() and dist.is_initialized()):
        return
    for network in networks:
        for buffer in network.buffers():
            # counters are the same in all processes, and not always where the backend can reach them
            if buffer.is_floating_point():
                dist.broadcast(buffer, src=0)


def validation_sampler(dataset: Dataset[Any]) -> DistributedSampler:
    """Return a sampler of this process's share of ``dataset``, each of whose items one process has.

    Raises:
        UserError: there are fewer items than processes.
    """
    count, processes = len(dataset), dist.get_world_size()  # type: ignore[arg-type]
    if count < processes:
        raise UserError(
            f"The section 'validation' gives {count} items to {processes} processes: add cases, or start fewer "
            "processes."
        )
    return DistributedSampler(dataset, even_divisible=False, shuffle=False)
