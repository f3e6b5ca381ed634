"""Networks that must not change for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Run a network without changing it: evaluation mode, no gradient for its parameters."""
    training = network.training
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.eval().requires_grad_(False)
    try:
        yield network
    finally:
        network.train(training)
        for parameter in learning:
            parameter.requires_grad_(True)


def plain(network: nn.Module | None) -> nn.Module:
    """Return the network inside a distributed wrapper, or the network itself."""
    assert network is not None
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
