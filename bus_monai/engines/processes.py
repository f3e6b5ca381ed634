"""Distributed training under ``torchrun``."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

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
