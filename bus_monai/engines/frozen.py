"""Networks that must not change for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(network: nn.Module, *, training: bool = False) -> Iterator[nn.Module]:
    """Run a network without changing its parameters: no gradient for them, and evaluation mode.

    Args:
        network: what is only asked.
        training: training mode instead, in which the running means of batch normalization go on.
    """
    before = network.training
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.train(training).requires_grad_(False)
    try:
        yield network
    finally:
        network.train(before)
        for parameter in learning:
            parameter.requires_grad_(True)


def plain(network: nn.Module | None) -> nn.Module:
    """Return the network inside a distributed wrapper, or the network itself."""
    assert network is not None
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
