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
        # log of the mean of sigmoids and of their complements, so that far logits do not become infinite
        logits = torch.stack([network(x) for network in self.networks])
        log = nn.functional.logsigmoid
        return torch.logsumexp(log(logits), dim=0) - torch.logsumexp(log(-logits), dim=0)
