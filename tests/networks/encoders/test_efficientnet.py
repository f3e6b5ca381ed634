"""EfficientNet encoders: counts, the order of their parts, sizes, scaling."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bus_monai.networks.encoders.efficientnet import EfficientNetEncoder, EfficientNetLiteEncoder
from bus_monai.networks.encoders.weights import from_torchvision
from tests.networks.torchvision_layout import LAYOUTS
from tests.user_errors import raises_user_error

LITE_PARAMETERS = {"efficientnet_lite0": 2_958_272, "efficientnet_lite1": 3_722_944, "efficientnet_lite2": 4_357_376}
"""Of the encoder on gray images."""


def test_order_of_the_parts_of_a_block() -> None:
    """By the order in which an image passes through them, which is torchvision's order of numbers."""
    net, passed = EfficientNetEncoder().eval(), []
    names = {module: name for name, module in net.named_modules()}
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            module.register_forward_hook(lambda m, _a, _o: passed.append(f"{names[m]}.weight"))
    with torch.no_grad():
        net(torch.rand(1, 1, 32, 32))
    in_file = [from_torchvision(key) for key, _ in LAYOUTS["efficientnet_b0"]() if key.endswith("weight")]
    assert passed == in_file[:-1]


@pytest.mark.parametrize("variant", LITE_PARAMETERS)
def test_parameters_of_lite(variant: str) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in EfficientNetLiteEncoder(variant).parameters()) == LITE_PARAMETERS[variant]


@pytest.mark.parametrize("variant", LITE_PARAMETERS)
def test_sizes_and_widths_of_the_features(variant: str) -> None:
    net = EfficientNetLiteEncoder(variant)
    shapes = [tuple(y.shape) for y in net(torch.rand(2, 1, 64, 96))]
    assert shapes == [(2, net.widths[i], 32 >> i, 48 >> i) for i in range(5)]


def test_a_standardized_image_is_brought_to_the_spread_of_photographs() -> None:
    torch.manual_seed(0)
    plain = EfficientNetLiteEncoder().eval()
    standardized = EfficientNetLiteEncoder(standardized=True).eval()
    standardized.load_state_dict(plain.state_dict())
    x = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(standardized(2 * (2 * x - 1))[-1], plain(x)[-1])


def test_parameters_and_sizes_of_b0() -> None:
    net = EfficientNetEncoder().eval()
    assert sum(p.numel() for p in net.parameters()) == 4_007_548
    with torch.no_grad():
        shapes = [tuple(y.shape) for y in net(torch.rand(1, 1, 65, 40))]
    sizes = [(33, 20), (17, 10), (9, 5), (5, 3), (3, 2)]
    assert shapes == [(1, width, *size) for width, size in zip((16, 24, 40, 112, 1280), sizes, strict=True)]


def test_an_unknown_variant_is_named() -> None:
    with raises_user_error("efficientnet_lite3", *LITE_PARAMETERS, key="variant"):
        EfficientNetLiteEncoder("efficientnet_lite3")
