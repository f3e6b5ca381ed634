"""ResNet encoder: counts, names, strides, dilation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bus_monai.networks.encoders.resnet import ResNetEncoder
from tests.user_errors import raises_user_error


@pytest.mark.parametrize(
    ("backbone", "parameters"), [("resnet18", 11_176_512), ("resnet50", 23_508_032), ("resnet101", 42_500_160)]
)
def test_parameters_of_torchvision_without_classifier(backbone: str, parameters: int) -> None:
    assert sum(p.numel() for p in ResNetEncoder(backbone).parameters()) == parameters


def test_names_and_shapes_of_torchvision() -> None:
    state = ResNetEncoder("resnet50").state_dict()
    assert len(state) == 318
    shapes = {name: tuple(state[name].shape) for name in ("conv1.weight", "layer1.0.downsample.0.weight")}
    assert shapes == {"conv1.weight": (64, 3, 7, 7), "layer1.0.downsample.0.weight": (256, 64, 1, 1)}
    assert tuple(state["layer4.2.conv3.weight"].shape) == (2048, 512, 1, 1)
    assert "layer2.3.bn2.running_var" in state


@pytest.mark.parametrize(
    ("output_stride", "sizes"), [(32, [33, 17, 9, 5, 3]), (16, [33, 17, 9, 5, 5]), (8, [33, 17, 9, 9, 9])]
)
def test_sizes(output_stride: int, sizes: list[int]) -> None:
    net = ResNetEncoder("resnet18", output_stride=output_stride).eval()
    features = net(torch.rand(1, 1, 65, 65))
    assert [tuple(f.shape) for f in features] == [
        (1, width, size, size) for width, size in zip((64, 64, 128, 256, 512), sizes, strict=True)
    ]


def test_every_wide_kernel_of_a_dilated_stage_is_dilated() -> None:
    net = ResNetEncoder("resnet50", output_stride=8)

    def rates(stage: nn.Module) -> set[tuple[int, ...]]:
        return {m.dilation for m in stage.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)}

    assert [rates(stage) for stage in (net.layer1, net.layer2, net.layer3, net.layer4)] == [
        {(1, 1)},
        {(1, 1)},
        {(2, 2)},
        {(4, 4)},
    ]


def test_gray_is_repeated() -> None:
    net = ResNetEncoder("resnet18").eval()
    x = torch.rand(1, 1, 40, 40)
    for gray, color in zip(net(x), net(x.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(gray, color)


def test_wrong_options_are_named() -> None:
    with raises_user_error("vgg", "resnet18", "resnet50", "resnet101", key="backbone"):
        ResNetEncoder("vgg")
    with raises_user_error(4, 8, 16, 32, key="output_stride"):
        ResNetEncoder("resnet18", output_stride=4)
