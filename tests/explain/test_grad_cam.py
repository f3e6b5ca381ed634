"""Grad-CAM against a plain computation, and what it must not depend on or change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.explain.grad_cam import SegmentationCam
from bus_monai.networks.padded import Padded


class Tiny(nn.Module):
    """Two convolutions with a pooling and an activation in place between them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 4, 3, padding=1, stride=2)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.head(self.act(self.features(x))), scale_factor=2.0)


def plain(network: Tiny, image: Tensor, *, plus_plus: bool) -> Tensor:
    """Equations 1 and 2 of Grad-CAM, 19 of Grad-CAM++ with its exponential, scaled by the largest value."""
    features = network.features(image)
    logits = F.interpolate(network.head(features.clamp(min=0)), scale_factor=2.0)
    region = logits > 0
    assert 0 < region.sum() < region.numel()
    (gradient,) = torch.autograd.grad(logits[region].sum(), features)
    if plus_plus:
        cubes = (features * gradient**3).sum(dim=(2, 3), keepdim=True)
        below = 2 * gradient**2 + cubes
        alpha = gradient**2 / torch.where(below == 0, torch.ones_like(below), below)
        weights = (alpha * gradient.clamp(min=0)).sum(dim=(2, 3), keepdim=True)
    else:
        weights = gradient.mean(dim=(2, 3), keepdim=True)
    values = (weights * features).sum(dim=1, keepdim=True).clamp(min=0)
    values = F.interpolate(values, size=image.shape[2:], mode="bilinear")[0, 0]
    return (values / values.max()).detach()


@pytest.mark.parametrize("plus_plus", [False, True])
def test_it_is_what_its_paper_says(plus_plus: bool) -> None:
    torch.manual_seed(1)
    network, image = Tiny().eval(), torch.rand(1, 1, 12, 16)
    result = SegmentationCam(network, "features")(image, plus_plus=plus_plus)
    torch.testing.assert_close(result, plain(network, image, plus_plus=plus_plus), rtol=1e-3, atol=1e-5)
    assert result.max() == 1


def test_the_network_stays_as_it_is() -> None:
    network = Tiny().train()
    SegmentationCam(network, "features")(torch.rand(1, 1, 8, 8))
    assert network.training
    assert network.act.inplace
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


def test_large_logits_leave_grad_cam_plus_plus_finite() -> None:
    torch.manual_seed(0)
    network = Tiny()
    with torch.no_grad():
        network.head.weight.abs_()
        network.features.weight.abs_().mul_(1000)
    values = SegmentationCam(network, "features")(torch.rand(1, 1, 64, 64), plus_plus=True)
    assert values.isfinite().all()
    assert values.max() == 1


def test_what_padding_added_is_cut_off() -> None:
    """A network that copies its input, and so does its map, wherever the border lies."""
    inner = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1))
    for part in inner:
        nn.init.ones_(part.weight)
    image = torch.rand(1, 1, 10, 21)
    values = SegmentationCam(Padded(inner, 16), "network.0")(image)
    torch.testing.assert_close(values, image[0, 0] / image.max())


def test_a_layer_without_say_gives_zeros() -> None:
    network = Tiny()
    nn.init.zeros_(network.head.weight)
    assert SegmentationCam(network, "features")(torch.rand(1, 1, 8, 8)).eq(0).all()
