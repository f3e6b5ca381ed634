"""Sanity of the maps: they point at the lesion, and depend on what was learnt."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.losses.dice import DiceCELoss
from monai.networks.nets.basic_unet import BasicUNet
from scipy.stats import spearmanr
from torch import Tensor, nn

from bus_monai.data.phantoms import make_phantom
from bus_monai.explain.grad_cam import SegmentationCam
from bus_monai.explain.layers import choose_layer
from bus_monai.explain.occlusion import occlusion_map
from bus_monai.explain.pointing_game import energy_inside
from bus_monai.networks.padded import Padded

SIZE = (64, 64)
BOTTLENECK = "network.down_4.convs.conv_1.conv"


def grad_cam(network: nn.Module, image: Tensor) -> Tensor:
    return SegmentationCam(network, choose_layer(network, SIZE))(image)


def grad_cam_pp(network: nn.Module, image: Tensor) -> Tensor:
    return SegmentationCam(network, choose_layer(network, SIZE))(image, plus_plus=True)


METHODS = (grad_cam, grad_cam_pp, occlusion_map)


def phantoms(seeds: range) -> tuple[Tensor, Tensor]:
    """Those with a lesion, as images and masks (N, 1, H, W)."""
    made = [phantom for phantom in (make_phantom(seed, SIZE) for seed in seeds) if phantom.masks]
    images = np.stack([phantom.image for phantom in made]).astype(np.float32) / 255
    masks = np.stack([np.any(phantom.masks, axis=0) for phantom in made])
    return torch.from_numpy(images)[:, None], torch.from_numpy(masks)[:, None].float()


@pytest.fixture(scope="module")
def unseen() -> tuple[Tensor, Tensor]:
    images, masks = phantoms(range(5000, 5016))
    return images[:10], masks[:10]


def small_unet() -> nn.Module:
    torch.manual_seed(7)
    return Padded(BasicUNet(2, 1, 1, features=(8, 8, 16, 16, 32, 8), norm="batch"), 16)


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    images, masks = phantoms(range(72))
    network, loss = small_unet(), DiceCELoss(sigmoid=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for step in range(120):
        chosen = torch.randint(len(images), (8,), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss(network(images[chosen]), masks[chosen]).backward()
        optimizer.step()
    return network.eval()


def energy_over_chance(method: Callable[[nn.Module, Tensor], Tensor], network: nn.Module, unseen: tuple) -> float:
    """How many times more of the map lies inside the lesion than by chance, the mean over images."""
    ratios = []
    for image, mask in zip(*unseen, strict=True):
        lesion = mask[0].bool().numpy()
        energy = energy_inside(method(network, image[None]).numpy(), lesion)
        ratios.append((energy or 0) / lesion.mean())
    return float(np.mean(ratios))


def test_the_network_has_learnt(trained: nn.Module, unseen: tuple[Tensor, Tensor]) -> None:
    with torch.no_grad():
        predicted = trained(unseen[0]) > 0
    truth = unseen[1].bool()
    assert float(2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())) > 0.6


@pytest.mark.parametrize("method", METHODS)
def test_maps_point_at_the_lesion(
    method: Callable[[nn.Module, Tensor], Tensor], trained: nn.Module, unseen: tuple[Tensor, Tensor]
) -> None:
    ratio = energy_over_chance(method, trained, unseen)
    print(method.__name__, ratio)
    assert ratio > 2


@pytest.mark.parametrize("method", METHODS)
def test_maps_change_with_the_weights(
    method: Callable[[nn.Module, Tensor], Tensor], trained: nn.Module, unseen: tuple[Tensor, Tensor]
) -> None:
    """Randomisation of all weights, as Adebayo et al. (NeurIPS 2018, arXiv 1810.03292) test it."""
    random = small_unet().eval()
    correlations = [
        abs(spearmanr(method(trained, image[None]).flatten(), method(random, image[None]).flatten()).statistic)
        for image in unseen[0]
    ]
    print(method.__name__, np.nanmean(correlations))
    assert float(np.nanmean(correlations)) < 0.5


def test_maps_change_when_the_last_layer_alone_is_random(trained: nn.Module, unseen: tuple[Tensor, Tensor]) -> None:
    other = copy.deepcopy(trained)
    nn.init.normal_(other.network.final_conv.weight)
    correlations = [
        spearmanr(grad_cam(trained, image[None]).flatten(), grad_cam(other, image[None]).flatten()).statistic
        for image in unseen[0]
    ]
    print(np.nanmean(correlations))
    assert float(np.nanmean(correlations)) < 0.5
