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
        ("multi_encoder", "network.network.stages.3.1"),
        ("rdau", "network.decoder.4.body.5"),
        ("cgan", "network.network.network.decoder.5.0"),
        ("unet", "network.network.upcat_1.convs.conv_1.conv"),
        ("attention_unet", "network.network.model.3.0.conv"),
    ],
)
def test_by_default_it_is_what_the_decoder_ends_with(name: str, layer: str) -> None:
    assert choose_layer(make_segmenter(name), (64, 64)) == layer


class Shared(nn.Module):
    """One activation used twice, one convolution never, and a map of one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.unused = nn.Conv2d(4, 4, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.relu = nn.ReLU()
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.second(self.relu(self.first(x))))
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


@pytest.mark.parametrize("name", ["attention_unet", "erfnet", "unet_plus_plus"])
def test_every_listed_layer_can_be_explained(name: str) -> None:
    """Whatever a network does in place."""
    torch.manual_seed(0)
    network, image = make_segmenter(name), torch.rand(1, 1, 32, 32)
    layers = feature_layers(network, (32, 32))
    assert len(layers) > 20
    for layer in layers[:: len(layers) // 6]:
        values = SegmentationCam(network, layer)(image)
        assert values.shape == (32, 32)
        assert 0 <= values.min()
        assert values.max() <= 1
