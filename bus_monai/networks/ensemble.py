"""Several networks as one."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Average the probabilities of networks, such as those of the folds of a cross-validation.

    Args:
        networks: each (B, 1, H, W) in [0, 1] to logits (B, 1, H, W).

    Shape:
        (B, 1, H, W) with values in [0, 1] to the logits (B, 1, H, W) of the mean probability.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the mean probability."""
        logits = torch.stack([network(x) for network in self.networks])
        return _log_sum(logits) - _log_sum(-logits)


def _log_sum(logits: Tensor) -> Tensor:
    """Return the logarithm of the sum of sigmoids over the first axis, finite for far logits too.

    Not by ``logsumexp``, which OpenVINO reads as a sum over all axes, nor by ``logsigmoid``, which ONNX writes as the
    logarithm of what has become 0.
    """
    logs = -nn.functional.softplus(-logits)
    largest = logs.amax(dim=0)
    return largest + (logs - largest).exp().sum(dim=0).log()
