"""Grad-CAM against a plain computation, and what it must not depend on or change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.explain.saliency import SegmentationCam, choose_layer, feature_layers, occlusion_map
from bus_monai.networks.segmenters import make_segmenter
from bus_monai.networks.wrappers import Padded
from tests.user_errors import raises_user_error


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


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("multi_encoder", "network.network.stages.3"),
        ("rdau", "network.decoder.4"),
        ("cgan", "network.network.network.decoder.5"),
        ("unet", "network.network.upcat_1"),
        ("deeplabv3_plus", "network.fuse"),
    ],
)
def test_by_default_it_is_what_the_decoder_ends_with(name: str, layer: str) -> None:
    assert choose_layer(make_segmenter(name), (64, 64)) == layer


class Shared(nn.Module):
    """One activation used twice, one convolution never and one without effect, and a map of one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.unused = nn.Conv2d(4, 4, 1)
        self.aside = nn.Conv2d(4, 4, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.relu = nn.ReLU()
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.second(self.relu(self.first(x))))
        self.aside(x)
        return self.head(x * self.pool(x))


def test_only_layers_with_one_map_are_listed() -> None:
    network = Shared().train()
    assert feature_layers(network, (8, 8)) == ["first", "second"]
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("wanted", "near"), [("secnd", "second"), ("unused", "second"), ("relu", "first"), ("", "first")]
)
def test_a_wrong_name_gives_near_ones(wanted: str, near: str) -> None:
    with raises_user_error(wanted, near, key="--layer"):
        choose_layer(Shared(), (8, 8), wanted)


class Residual(nn.Module):
    """Adds in place to what a layer gave, as the encoders of MONAI do."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(1, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        before = self.before(x)
        after = self.norm(before)
        after += before
        return self.head(self.relu(after))


def test_every_listed_layer_can_be_explained() -> None:
    """Whatever the network does in place."""
    torch.manual_seed(0)
    network, image = Residual(), torch.rand(1, 1, 16, 16)
    layers = feature_layers(network, (16, 16))
    assert layers == ["before", "norm", "relu"]
    for layer in layers:
        for plus_plus in (False, True):
            values = SegmentationCam(network, layer)(image, plus_plus=plus_plus)
            assert values.shape == (16, 16)
            assert 0 <= values.min() <= values.max() <= 1


def test_it_is_the_mean_loss_of_the_patches_that_cover_a_pixel() -> None:
    torch.manual_seed(2)
    network, image = nn.Conv2d(1, 1, 5, padding=2), torch.rand(1, 1, 32, 40)
    with torch.no_grad():
        logits = network(image)
        region = logits >= 0
        before = logits.sigmoid()[region].mean()
        total, count = torch.zeros(32, 40), torch.zeros(32, 40)
        for top in range(0, 32 - 4 + 1, 2):
            for left in range(0, 40 - 4 + 1, 2):
                hidden = image.clone()
                hidden[..., top : top + 4, left : left + 4] = image.mean()
                total[top : top + 4, left : left + 4] += before - network(hidden).sigmoid()[region].mean()
                count[top : top + 4, left : left + 4] += 1
    result = occlusion_map(network, image)
    assert 0 < region.sum() < region.numel()
    torch.testing.assert_close(result, (total / count).clamp(min=0))
    assert network.training


def test_only_what_the_network_sees_matters() -> None:
    """A network that looks at the left half alone."""

    class Left(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = 10 * (x - 0.3)
            return torch.cat([x[..., :16], torch.full_like(x[..., 16:], -10)], dim=3)

    image = torch.zeros(1, 1, 32, 32)
    image[..., 8:24, 4:12] = 1
    values = occlusion_map(Left(), image)
    assert values[:, 20:].eq(0).all()
    assert values[10:22, 6:10].min() > 0
