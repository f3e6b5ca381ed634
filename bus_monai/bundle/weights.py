"""The weights of a bundle's network."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from bus_monai.bundle.registry import weights_file
from bus_monai.errors import UserError
from bus_monai.io.atomic import check_writable as check_writable
from bus_monai.networks.weights import read_weights
from bus_monai.networks.wrappers import Ensemble


def load_network(network: nn.Module, path: str | Path, device: torch.device | str | None = None) -> nn.Module:
    """Load weights into ``network`` and return it; several files joined by commas make an ensemble of its copies.

    Args:
        network: as it was trained.
        path: of the weights.
        device: where it is moved to; ``None`` leaves it where it is.

    Raises:
        UserError: weights are missing, broken, or of another network.
    """
    files = str(path).split(",")
    if len(files) == 1:
        loaded = _load_into(network, path)
    else:
        loaded = Ensemble(_load_into(copy.deepcopy(network), file) for file in files)
    return loaded if device is None else loaded.to(torch.device(device))


def _load_into(network: nn.Module, path: str | Path) -> nn.Module:
    state = read_weights(weights_file(Path(path)))
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"'{path}' holds the weights of another network: give the network options that it was trained with "
            "(generator, use_gate, dilated_position, ...), or another file."
        ) from error
    return network
