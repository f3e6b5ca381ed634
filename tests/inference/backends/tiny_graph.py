"""A network of one weight, whose probabilities are known without it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bus_monai.inference.backends.backend import Backend
from bus_monai.inference.backends.chain import Chain

CHAIN = Chain((8, 6))


def tiny_network() -> nn.Module:
    """Return a network that gives the logits 4 x - 2."""
    network = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        network.weight.fill_(4)
        network.bias.fill_(-2)  # type: ignore[union-attr]
    return network


def check_at_any_size(backend: Backend) -> None:
    """Check that a backend gives of an image (H, W) what that network means."""
    for shape in ((8, 6), (1, 1), (33, 20)):
        pixels = np.random.default_rng(0).random(shape, np.float32)
        found = backend(pixels)
        expected = CHAIN.enlarge(1 / (1 + np.exp(2 - 4 * CHAIN.shrink(pixels))), shape)
        np.testing.assert_allclose(found.probability, expected, atol=1e-5)
        assert found.distance == 0
