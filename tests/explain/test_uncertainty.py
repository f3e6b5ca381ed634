"""Uncertainty of networks of which it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bus_monai.explain.uncertainty import (
    augmentation_uncertainty,
    dropout_uncertainty,
    has_dropout,
    k_center,
    uncertainty_map,
)
from bus_monai.networks.mutual_generators import MutualGenerators


def test_dropout_is_that_of_a_coin() -> None:
    """Half of the passes see 2 * 5 = 10, half 0: probabilities 1 and 0.5, standard deviation 0.25."""
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1, affine=False, eps=0)).train()
    state = torch.random.get_rng_state()
    values = dropout_uncertainty(network, torch.full((1, 1, 8, 8), 5.0), samples=400, seed=1)
    assert values.shape == (8, 8)
    assert float(values.mean()) == pytest.approx(0.25, abs=0.003)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert network[0].training
    assert int(network[1].num_batches_tracked) == 0
    torch.testing.assert_close(dropout_uncertainty(network, torch.full((1, 1, 8, 8), 5.0), samples=400, seed=1), values)


def test_dropout_leaves_evaluation_mode_as_it_is() -> None:
    network = nn.Sequential(nn.Dropout(0.5)).eval()
    dropout_uncertainty(network, torch.rand(1, 1, 4, 4), samples=2)
    assert not network[0].training


@pytest.mark.parametrize(
    ("layer", "expected"), [(nn.Dropout2d(0.1), True), (nn.Dropout(0.0), False), (nn.ReLU(), False)]
)
def test_a_rate_of_0_is_no_dropout(layer: nn.Module, expected: bool) -> None:
    assert has_dropout(nn.Sequential(layer)) is expected


def test_a_network_that_moves_with_the_image_is_certain_everywhere() -> None:
    values = augmentation_uncertainty(nn.Conv2d(1, 1, 1), torch.rand(1, 1, 33, 48))
    assert values.shape == (33, 48)
    assert float(values.max()) < 1e-6


def test_a_network_that_knows_left_from_right_is_not() -> None:
    """Logits 10 left and -10 right, whatever the image: half of the passes say the contrary."""

    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(torch.arange(x.shape[3]) < 16, 10.0, -10.0).expand_as(x)

    values = augmentation_uncertainty(Fixed(), torch.rand(1, 1, 32, 32))
    assert float(values[:, 4:12].mean()) == pytest.approx(0.5, abs=1e-3)
    assert float(values.max()) <= 0.5


class _Constant(nn.Module):
    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x, self.logit)


def test_generators_disagree() -> None:
    network = MutualGenerators(backbone="resnet18")
    network.ensemble.networks = nn.ModuleList([_Constant(0.0), _Constant(float(np.log(4)))])
    # probabilities 0.5 and 0.8
    torch.testing.assert_close(uncertainty_map(network, torch.zeros(1, 1, 4, 5)), torch.full((4, 5), 0.15))


def test_dropout_comes_before_flips() -> None:
    image = torch.full((1, 1, 32, 32), 0.5)
    assert uncertainty_map(_Constant(0.3), image).max() < 1e-6
    assert uncertainty_map(nn.Sequential(_Constant(1.0), nn.Dropout(0.5)), image).max() > 0.1


def test_the_farthest_point_is_next() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    assert k_center(points, None) == 1
    assert k_center(points, points[1:2]) == 2
    assert k_center(points[:2], points[2:]) == 0
