"""Read and write the weights of networks: tensors and plain values, never code."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from bus_monai.errors import UserError, reading, writing
from bus_monai.io.atomic import atomic_file


def read_weights(path: str | Path) -> Any:
    """Load tensors and plain values to the CPU; shipped weights come as float32.

    Args:
        path: what ``torch.save`` wrote, or ``.safetensors``.

    Raises:
        UserError: the file is missing, broken, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"'{path}' does not exist: train first, or give the path of a checkpoint.")
    if path.suffix == ".safetensors":
        return _load_shipped(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its pickle reader meets
        raise UserError(
            f"'{path}' is no checkpoint that can be trusted and read: it is truncated, not written by PyTorch, or "
            "holds more than tensors; give another file."
        ) from error


def _load_shipped(path: Path) -> dict[str, torch.Tensor]:
    with reading(path, "safetensors", errors=(SafetensorError,)):
        state = load_file(path)
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def save_weights(state: Mapping[str, Any], path: Path) -> None:
    """Save beside ``path`` and rename, so that the file is whole at any moment.

    Raises:
        UserError: the disk is full or the folder cannot be written to; what was there before stays.
    """
    with writing(path, kept="what was saved before is whole"), atomic_file(path) as partial:
        try:
            # of a file's name, which is new each time, it would keep the stem
            with partial.open("wb") as file:
                torch.save(state, file)
        except RuntimeError as error:
            # of its zip writer, which says in words of its own that a disk is full
            raise OSError(errno.ENOSPC, "not all of it could be written") from error


def save_shipped(state: Mapping[str, torch.Tensor], path: Path, settings: Mapping[str, Any]) -> None:
    """Save the weights of a network at half their size, and with them what it was trained with.

    Matrices and kernels are rounded to half precision; vectors, such as the variances of a normalization, which may be
    too small or too large for it, stay as they are.

    Args:
        state: of the network, finite.
        path: to write, ``.safetensors``.
        settings: see :func:`~bus_monai.bundle.settings.read_settings`.

    Raises:
        UserError: a weight is not finite or has no half precision, or the file cannot be written.
    """
    tensors = {
        name: (value.half() if value.is_floating_point() and value.ndim > 1 else value).clone().contiguous()
        for name, value in state.items()
    }
    lost = next((name for name, value in tensors.items() if not value.isfinite().all()), None)
    if lost:
        raise UserError(f"The weight '{lost}' for '{path}' is not finite in half precision: train longer or anew.")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as partial:
            # save_file would let its owner alone read the file
            partial.write_bytes(save(tensors, metadata={"settings": json.dumps(settings, sort_keys=True)}))
