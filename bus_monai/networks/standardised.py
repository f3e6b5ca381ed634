"""Input statistics inside the network."""

# no postponed annotations here: TorchScript reads the types of the buffers as they stand

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Standardised(nn.Module):
    """Subtract the training set's mean and divide by its standard deviation, then apply a network.

    The statistics travel with the weights, so that every caller hands in plain grey values in [0, 1] and a validation
    image is never standardised by its own. They are buffers: no parameters, nothing to learn.

    Args:
        network: (B, 1, H, W) to logits (B, 1, H, W).
        fixed: keep mean 0 and standard deviation 1, for a network that scales its input itself.

    Shape:
        (B, 1, H, W) with values in [0, 1] to logits (B, 1, H, W).
    """

    mean: Tensor
    std: Tensor
    fixed: bool

    def __init__(self, network: nn.Module, *, fixed: bool = False) -> None:
        super().__init__()
        self.fixed = fixed
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits

    def fit(self, images: Iterable[Tensor]) -> None:
        """Take mean and standard deviation over all pixels of ``images``, each in [0, 1]; do nothing if ``fixed``."""
        if self.fixed:
            return
        count, total, squares = 0, 0.0, 0.0
        for image in images:
            values = torch.as_tensor(image).double()
            count += values.numel()
            total += float(values.sum())
            squares += float((values**2).sum())
        mean = total / count
        self.mean.fill_(mean)
        # a set of constant images has no scale to divide by
        self.std.fill_(max(squares / count - mean**2, 0.0) ** 0.5 or 1.0)
