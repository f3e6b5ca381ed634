"""What each attention block shows, worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bus_monai.explain.attention_maps import attention_maps, has_attention
from bus_monai.networks.blocks.attention import CAW, CBAM, AttentionGate, NonLocal
from bus_monai.networks.segmenters import make_segmenter


def test_cbam_shows_the_weights_of_the_pixels() -> None:
    block, image = CBAM(8), torch.rand(1, 8, 6, 7)
    channels = (block.perceptron(image.mean((2, 3), True)) + block.perceptron(image.amax((2, 3), True))).sigmoid()
    (shown,) = attention_maps(block, image)
    torch.testing.assert_close(image * channels * shown.values, block(image))


def test_a_gate_shows_its_coefficients() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = AttentionGate(1, 1, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.gate(x, x)

    network, image = Gated().eval(), torch.rand(1, 1, 6, 7)
    (shown,) = attention_maps(network, image)
    assert shown.block == "gate"
    torch.testing.assert_close(shown.values * image[0, 0], network(image)[0, 0])


def test_a_gate_that_leaves_its_range_is_cut() -> None:
    gate = AttentionGate(1, 1, 4, post_bn=True).eval()
    nn.init.constant_(gate.alpha[2].bias, 5)
    network = nn.Sequential(gate)
    network.forward = lambda x: gate(x, x)  # type: ignore[method-assign]
    (shown,) = attention_maps(network, torch.rand(1, 1, 4, 4))
    assert shown.values.eq(1).all()


def test_non_local_shows_what_all_pixels_look_at() -> None:
    """Keys that are large at one pixel draw every query there."""
    block = NonLocal(2)
    for part in (block.theta, block.phi):
        nn.init.ones_(part.weight)
        nn.init.zeros_(part.bias)
    image = torch.full((1, 2, 3, 4), 0.5)
    image[..., 1, 2] = 4
    (shown,) = attention_maps(block, image)
    # a query is 1 at eleven pixels and 8 at one, a key the same: shares by hand
    query, key = torch.tensor([1.0] * 11 + [8.0]), torch.tensor([1.0] * 11 + [8.0])
    mean = torch.stack([(q * key).softmax(0) for q in query]).mean(0)
    assert shown.values[1, 2] == 1
    torch.testing.assert_close(shown.values[0, 0], mean[0] / mean[11])


@pytest.mark.parametrize(
    ("mode", "blocks"),
    [("both", ["0.branches.0", "0.branches.1"]), ("channel_weighting", ["0.branches.0"]), ("none", [])],
)
def test_caw_shows_the_weights_of_its_channels(mode: str, blocks: list[str]) -> None:
    network, image = nn.Sequential(CAW(32, mode=mode)), torch.rand(1, 32, 4, 4)
    shown = attention_maps(network, image)
    assert [one.block for one in shown] == blocks
    assert has_attention(network) is bool(blocks)
    assert all(one.values.shape == (32,) for one in shown)
    if mode == "channel_weighting":
        torch.testing.assert_close(image * shown[0].values[:, None, None], network(image))


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("multi_encoder", {"attention": "cbam"}, 4),
        ("multi_encoder", {"attention": "non_local"}, 4),
        ("rdau", {}, 5),
        ("attention_unet", {}, 4),
        ("cgan", {}, 2),
        ("unet", {}, 0),
    ],
)
def test_the_maps_of_the_networks_have_the_size_of_the_image(name: str, options: dict, count: int) -> None:
    torch.manual_seed(0)
    network = make_segmenter(name, options)
    shown = attention_maps(network, torch.rand(1, 1, 64, 64))
    assert len(shown) == count
    for one in shown:
        assert one.values.shape in ((64, 64), (512,))
        assert one.values.min() >= 0
        assert one.values.max() <= 1
    assert not any(module._forward_hooks for module in network.modules())
    assert network.training
