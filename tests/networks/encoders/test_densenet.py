"""DenseNet encoder: count, sizes, channels of the image."""

from __future__ import annotations

import torch

from bus_monai.networks.encoders.densenet import DenseNetEncoder


def test_parameters_sizes_and_gray() -> None:
    net = DenseNetEncoder().eval()
    assert sum(p.numel() for p in net.parameters()) == 6_953_856
    x = torch.rand(1, 1, 32, 64)
    with torch.no_grad():
        gray, color = net(x), net(x.repeat(1, 3, 1, 1))
    assert [tuple(y.shape) for y in gray] == [
        (1, width, 16 >> i, 32 >> i) for i, width in enumerate((64, 64, 128, 256, 1024))
    ]
    for one, three in zip(gray, color, strict=True):
        torch.testing.assert_close(one, three)


def test_two_channels_are_taken_as_they_are() -> None:
    net = DenseNetEncoder(in_channels=2)
    assert net.features.conv0.weight.shape == (64, 2, 7, 7)
    assert not net.repeats
