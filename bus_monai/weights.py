"""Reading and writing weights, never code."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bus_monai.errors import UserError
from bus_monai.networks.ensemble import Ensemble


def load_weights(path: str | Path) -> Any:
    """Load tensors and plain values to the CPU.

    Raises:
        UserError: the file is missing, broken, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"'{path}' does not exist: train first, or give the path of a checkpoint.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its pickle reader meets
        raise UserError(
            f"'{path}' is no checkpoint that can be trusted and read: it is truncated, not written by PyTorch, or "
            "holds more than tensors; give another file."
        ) from error


def load_network(network: nn.Module, path: str | Path) -> nn.Module:
    """Load weights into ``network`` and return it; several files joined by commas make an ensemble of its copies.

    Raises:
        UserError: weights are missing, broken, or of another network.
    """
    files = str(path).split(",")
    if len(files) == 1:
        return _load_into(network, path)
    return Ensemble(_load_into(copy.deepcopy(network), file) for file in files)


def _load_into(network: nn.Module, path: str | Path) -> nn.Module:
    state = load_weights(path)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"'{path}' holds the weights of another network: give the network options that it was trained with "
            "(generator, use_gate, dilated_position, ...), or another file."
        ) from error
    return network


def save_weights(state: Mapping[str, Any], path: Path) -> None:
    """Save beside ``path`` and rename, so that the file is whole at any moment.

    Raises:
        UserError: the disk is full or the folder cannot be written to; what was there before stays.
    """
    partial = path.with_name(path.name + ".part")
    try:
        torch.save(state, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as a RuntimeError of its zip writer
        partial.unlink(missing_ok=True)
        raise UserError(
            f"Cannot write '{path}' ({str(error).splitlines()[0][:120]}): free space or give another folder; what was "
            "saved before is whole."
        ) from error


def check_writable(folder: str | Path) -> Path:
    """Make ``folder``, write a byte to it, and return it.

    Raises:
        UserError: it cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # a file without a name: processes that check the same folder at once do not meet
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise UserError(
            f"Cannot write to '{folder}' ({error.strerror}): free space, mend its permissions, or give another folder."
        ) from error
    return folder
