"""Every segmenter with color images and several classes: shapes, gradients, exports, encoders of photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from bus_monai.networks.encoders.resnet import ResNetEncoder
from bus_monai.networks.encoders.weights import load_encoder_weights
from bus_monai.networks.lite_unet import LiteUNet
from bus_monai.networks.mutual_generators import MutualGenerators
from bus_monai.networks.segmenters import SEGMENTER_NAMES, make_segmenter
from bus_monai.networks.wrappers import Ensemble
from tests.networks import test_every_architecture as architectures
from tests.networks.onnx_session import onnx_session
from tests.user_errors import raises_user_error

SMALL = architectures.SMALL | {"multi_encoder": {"encoders": ("resnet18",), "attention": "none"}}
COLOR = {"in_channels": 3, "out_channels": 4}
MAKERS: dict[str, Callable[[], nn.Module]] = {
    "lite": lambda: LiteUNet(**COLOR, attention=True),
    "mutual": lambda: MutualGenerators(**COLOR, backbone="resnet18"),
    **{name: lambda name=name: make_segmenter(name, COLOR | SMALL.get(name, {})) for name in SEGMENTER_NAMES},
}

SCRIPTED = {"lite", "mutual", "fcn", "multi_encoder"}
"""Where the number of channels decides what runs, or what no other test scripts; all else is in ``architectures``."""


@pytest.mark.parametrize("name", MAKERS)
def test_color_images_and_classes(name: str) -> None:
    torch.manual_seed(0)
    net = MAKERS[name]().train()
    x = torch.rand(2, 3, 33, 45)
    logits = net(x)
    assert logits.shape == (2, 4, 33, 45)
    nn.functional.cross_entropy(logits, torch.randint(4, (2, 33, 45))).backward()
    without = [n for n, p in net.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())]
    assert without == []
    net.eval()
    with torch.no_grad():
        expected, turned = net(x), net(x.roll(1, dims=1))
        if name in SCRIPTED:
            torch.testing.assert_close(torch.jit.script(net)(x), expected, atol=1e-3, rtol=1e-3)
        # all three colors count
        assert all(not torch.equal(turned[:, i], expected[:, i]) for i in range(4))


@pytest.mark.parametrize("name", ["lite", "mutual"])
def test_classes_in_onnx(name: str) -> None:
    torch.manual_seed(0)
    net = MAKERS[name]().eval()
    x = torch.rand(1, 3, 65, 77)
    run = onnx_session(net, torch.rand(1, 3, 64, 64))
    with torch.no_grad():
        torch.testing.assert_close(torch.as_tensor(run(x)), net(x), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["fcn", "pspnet", "deeplabv3_plus", "multi_encoder"])
def test_a_gray_image_is_three_equal_colors_to_an_encoder_of_photographs(name: str) -> None:
    gray, color = (make_segmenter(name, {"in_channels": n} | SMALL[name]).eval() for n in (1, 3))
    color.load_state_dict(gray.state_dict())
    x = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(color(x.expand(-1, 3, -1, -1)), gray(x), atol=0, rtol=0)


@pytest.mark.parametrize(("in_channels", "fits"), [(1, True), (3, True), (2, False)])
def test_weights_of_photographs_fit_one_and_three_channels(in_channels: int, fits: bool, tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(ResNetEncoder("resnet18").state_dict(), path)
    net = make_segmenter("fcn", {"backbone": "resnet18", "in_channels": in_channels})
    assert net(torch.rand(2, in_channels, 64, 64)).shape == (2, 1, 64, 64)
    if fits:
        load_encoder_weights(net, {"resnet18": path})
        stem = torch.load(path, weights_only=True)["conv1.weight"]
        assert torch.equal(net.network.encoder.conv1.weight, stem)
        return
    with raises_user_error("resnet18", "conv1.weight"):
        load_encoder_weights(net, {"resnet18": path})


def test_an_ensemble_of_classes_has_the_mean_of_their_softmax() -> None:
    torch.manual_seed(0)
    nets = [nn.Conv2d(3, 4, 1) for _ in range(3)]
    x = 30 * torch.rand(2, 3, 5, 7)
    expected = torch.stack([net(x).softmax(dim=1) for net in nets]).mean(dim=0)
    torch.testing.assert_close(Ensemble(nets)(x).softmax(dim=1), expected)


@pytest.mark.parametrize("option", ["presence_head", "deep_supervision"])
def test_what_is_of_one_lesion_is_refused_with_classes(option: str) -> None:
    with raises_user_error(key="out_channels"):
        LiteUNet(out_channels=4, **{option: True})


@pytest.mark.parametrize(
    ("name", "features"),
    [("unet", (4, 8)), ("unet_plus_plus", (4, 8, 16, 32, 64)), ("attention_unet", (0, 1, 1, 1, 1))],
)
def test_features_of_another_number_are_refused(name: str, features: tuple[int, ...]) -> None:
    with raises_user_error(key="features"):
        make_segmenter(name, {"features": features})
