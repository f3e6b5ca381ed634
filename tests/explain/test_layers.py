"""Which layer is explained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bus_monai.errors import UserError
from bus_monai.explain.grad_cam import SegmentationCam
from bus_monai.explain.layers import choose_layer, feature_layers
from bus_monai.networks.segmenters import make_segmenter


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
    ("wanted", "near"), [("secnd", "second"), ("unused", "second"), ("relu", "first, second"), ("", "first, second")]
)
def test_a_wrong_name_gives_near_ones(wanted: str, near: str) -> None:
    with pytest.raises(UserError) as error:
        choose_layer(Shared(), (8, 8), wanted)
    assert str(error.value) == f"--layer is '{wanted}', which gives no map: use a layer such as {near}."


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
