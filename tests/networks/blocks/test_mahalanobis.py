"""Distances from known images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bus_monai.networks.blocks.mahalanobis import KEPT_SHARE, SHRINKAGE, MahalanobisDistance
from bus_monai.networks.lite_unet import LiteUNet
from tests.user_errors import raises_user_error


def groups(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(6, 6, generator=generator)
    return [torch.randn(400, 6, generator=generator) @ mix, torch.randn(90, 6, generator=generator) @ mix + 30]


@pytest.fixture(scope="module")
def fitted() -> MahalanobisDistance:
    distance = MahalanobisDistance(6, 2)
    distance.fit(groups())
    return distance


def maps(features: torch.Tensor) -> torch.Tensor:
    return features[:, :, None, None].expand(-1, -1, 3, 5)


def test_it_is_mahalanobis_distance_up_to_its_unit(fitted: MahalanobisDistance) -> None:
    known = [group.double().numpy() for group in groups()]
    covariance = np.mean([np.cov(group.T, bias=True) for group in known], axis=0)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / 6 * np.eye(6)
    points = groups(1)[0].double().numpy()[:50]
    away = [points - group.mean(axis=0) for group in known]
    expected = np.min([np.sqrt(np.einsum("ij,jk,ik->i", a, np.linalg.inv(covariance), a)) for a in away], axis=0)
    found = fitted(maps(torch.tensor(points, dtype=torch.float32))).numpy()
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-4)


def test_nearly_all_of_the_first_group_lie_within_one_and_the_others_are_known(fitted: MahalanobisDistance) -> None:
    first, second = (fitted(maps(group)) for group in groups(0))
    assert float((first <= 1).float().mean()) == pytest.approx(KEPT_SHARE, abs=0.01)
    assert float((second <= 1).float().mean()) > 0.9
    assert float(fitted(maps(torch.full((1, 6), 15.0)))) > 1.5


def test_a_margin_is_a_longer_unit(fitted: MahalanobisDistance) -> None:
    wider = MahalanobisDistance(6, 2)
    wider.fit(groups(), margin=1.25)
    torch.testing.assert_close(wider(maps(groups()[0])) * 1.25, fitted(maps(groups()[0])))


def test_what_is_nearer_to_another_kind_is_beyond_one_however_near(fitted: MahalanobisDistance) -> None:
    first, second = groups()
    distance = MahalanobisDistance(6, 1, 1)
    distance.fit([first], [second], margin=1e4)
    assert float(distance(maps(first)).max()) < 1
    assert float(distance(maps(second)).min()) > 1
    alone = MahalanobisDistance(6, 1)
    alone.fit([first], margin=1e4)
    assert float(alone(maps(second)).max()) < 1


@pytest.mark.parametrize("given", [[torch.rand(9, 6)], [torch.rand(9, 6), torch.rand(4, 6)]])
def test_too_little_to_fit(given: list[torch.Tensor]) -> None:
    with raises_user_error(len(given), 5):
        MahalanobisDistance(6, 2).fit(given)


def test_a_network_tells_noise_from_what_it_knows() -> None:
    torch.manual_seed(0)
    network = LiteUNet(known_groups=1).eval()
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in LiteUNet().parameters())
    ramps = [torch.linspace(0, 0.2 + i / 30, 64).expand(1, 64, 64) + 0.02 * torch.rand(1, 64, 64) for i in range(20)]
    network.fit_distance([ramps])
    image = torch.rand(2, 1, 65, 77)
    image[0, 0] = torch.linspace(0, 0.5, 77)
    with torch.no_grad():
        logits, distance = network.with_distance(image)
        torch.testing.assert_close(logits, network(image))
        torch.testing.assert_close(distance, network.distance(image))
    assert distance.shape == (2,)
    assert distance[1] > 1.5 * distance[0]
    again = LiteUNet(known_groups=1).eval()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again.distance(image), distance)
