"""Multi-encoder U-Net: published counts, frozen encoders, skips."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bus_monai.networks.multi_encoder_unet import PRESETS, MultiEncoderUNet, Preset, get_preset, multi_encoder
from tests.user_errors import raises_user_error


def counts(module: nn.Module) -> tuple[int, int]:
    parameters = list(module.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def architectures() -> dict[tuple[Any, ...], list[int]]:
    """Return the models of each architecture, which differ in their loss alone."""
    models: dict[tuple[Any, ...], list[int]] = {}
    for model_id, preset in PRESETS.items():
        models.setdefault(preset[:3], []).append(model_id)
    return models


@pytest.mark.parametrize(
    ("models", "total", "trainable"),
    [
        ([1, 2], 23_881_989, 23_881_989),
        ([10, 12], 23_881_989, 1_744_073),
        ([3, 4], 24_493_277, 24_493_277),
        ([9, 11], 24_493_277, 2_355_361),
        ([7, 8], 23_794_557, 23_794_557),
        ([5, 6], 23_794_557, 1_656_641),
        ([19, 20], 12_350_269, 12_350_269),
        ([13, 14], 12_350_269, 1_388_865),
        ([15, 16], 16_305_149, 1_121_089),
        ([17, 18], 19_117_569, 987_201),
    ],
)
def test_parameters_of_the_published_table(models: list[int], total: int, trainable: int) -> None:
    assert models in architectures().values()
    # parameters without memory or values
    with torch.device("meta"):
        assert counts(multi_encoder(model_id=models[0])) == (total, trainable)


def test_every_architecture_has_a_model_for_each_loss() -> None:
    assert list(PRESETS) == list(range(1, 22))
    assert len(architectures()) == 11
    for models in list(architectures().values())[:-1]:
        assert {PRESETS[m].loss for m in models} == {"bce", "dice"}
    assert get_preset(1) == Preset(("resnet18", "densenet121", "efficientnet_b0"), "cbam", False, "bce")


@pytest.mark.parametrize(
    ("options", "total", "trainable"),
    [
        ({"model_id": 17, "freeze_encoders": False}, 19_117_569, 19_117_569),
        ({"model_id": 17, "encoders": ["resnet18", "efficientnet_b0"]}, 16_305_149, 1_121_089),
        ({"model_id": 3, "attention": "cbam"}, 23_881_989, 23_881_989),
        ({"model_id": 7, "freeze_encoders": True, "skip": "add"}, 23_794_557, 1_656_641),
    ],
)
def test_an_option_wins_over_the_model(options: dict[str, Any], total: int, trainable: int) -> None:
    with torch.device("meta"):
        assert counts(multi_encoder(**options)) == (total, trainable)


def test_the_papers_models_add_their_skips_without_a_parameter() -> None:
    """ResNet-18 and DenseNet-121 have the decoder's channels at 1/16, 1/8 and 1/4 of the size."""
    assert {PRESETS[model].skip for model in range(1, 21)} == {"add"}
    with torch.device("meta"):
        networks = [multi_encoder(), multi_encoder(skip="none")]
    assert [counts(network)[0] for network in networks] == [23_881_989] * 2
    assert [network.network.skip for network in networks] == ["add", "none"]


def test_our_model_has_the_encoders_whose_weights_are_in_packages() -> None:
    with torch.device("meta"):
        network = multi_encoder(model_id=21)
    assert list(network.network.encoders) == ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
    assert counts(network) == (11_943_753, 11_943_753)
    assert network.network.skip == "concat"


def test_relu6_throughout() -> None:
    for relu6, kinds in ((False, {nn.ReLU, nn.ReLU6}), (True, {nn.ReLU6})):
        network = multi_encoder(relu6_throughout=relu6)
        assert {type(m) for m in network.modules() if isinstance(m, nn.ReLU | nn.ReLU6)} == kinds
    assert counts(network)[0] == 23_881_989


def test_dropout_before_the_head() -> None:
    assert [multi_encoder(encoders=["resnet18"], dropout=p).network.head[0].p for p in (0.3, 0.5)] == [0.3, 0.5]
    with raises_user_error(1, 0, key="dropout"):
        multi_encoder(dropout=1.0)


def test_concatenated_skips_widen_three_stages() -> None:
    with torch.device("meta"):
        plain, concat = (counts(multi_encoder(skip=skip))[0] for skip in ("none", "concat"))
    # 11 + o parameters per channel of the input: maps at 1/16, 1/8 and 1/4
    widths = (256 + 256 + 112, 128 + 128 + 40, 64 + 64 + 24)
    assert concat - plain == sum((11 + o) * w for o, w in zip((256, 128, 64), widths, strict=True))


def test_frozen_encoders_neither_learn_nor_change() -> None:
    torch.manual_seed(0)
    net = multi_encoder(encoders=["resnet18"], attention="none", freeze_encoders=True).train()
    encoders = net.network.encoders
    before = {key: value.clone() for key, value in encoders.state_dict().items()}
    net(torch.rand(2, 1, 33, 40)).square().mean().backward()
    assert [m for m in encoders.modules() if m.training] == []
    assert net.network.stages.training
    assert {n.split(".")[1] for n, p in net.named_parameters() if p.grad is not None} == {"stages", "head"}
    assert all(torch.equal(before[key], value) for key, value in encoders.state_dict().items())


@pytest.mark.parametrize("skip", ["add", "concat"])
def test_skips_reach_the_output(skip: str) -> None:
    torch.manual_seed(0)
    net = multi_encoder(encoders=["resnet18"], attention="none", skip=skip).eval()
    x = torch.rand(1, 1, 32, 45)
    shallow: list[torch.Tensor] = []
    net.network.encoders["resnet18"].register_forward_hook(lambda _m, _a, out: shallow.extend(out[1:4]))
    net(x).sum().backward()
    out = net(x)
    assert out.shape == x.shape
    gradients = torch.autograd.grad(out.sum(), shallow[3:])
    assert [bool(g.abs().sum() > 0) for g in gradients] == [True] * 3


@pytest.mark.parametrize("skip", ["add", "concat"])
def test_torchscript_equals_eager_with_skips(skip: str) -> None:
    torch.manual_seed(0)
    net = multi_encoder(encoders=["resnet18"], attention="non_local", skip=skip).eval()
    x = torch.rand(2, 1, 33, 40)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(net)(x), net(x), atol=1e-5, rtol=1e-4)


def test_map_of_the_published_layer_table() -> None:
    net = MultiEncoderUNet(encoders=["efficientnet_b0", "resnet18"]).eval()
    shapes: list[tuple[int, ...]] = []
    for stage in net.network.stages:
        stage.register_forward_hook(lambda _m, args, out: shapes.append((args[0].shape[1], *out.shape[1:])))
    with torch.no_grad():
        net(torch.rand(1, 1, 64, 64))
    assert shapes == [(1792, 512, 2, 2), (512, 256, 4, 4), (256, 128, 8, 8), (128, 64, 16, 16)]
    assert list(net.network.encoders) == ["resnet18", "efficientnet_b0"]


@pytest.mark.parametrize(
    ("options", "key", "named"),
    [
        ({"encoders": ["vgg16"]}, "encoders", ["['vgg16']", "resnet18", "densenet121", "efficientnet_b0"]),
        ({"encoders": []}, "encoders", ["[]", "resnet18", "densenet121", "efficientnet_b0"]),
        ({"encoders": "resnet18"}, "encoders", ["'resnet18'", "resnet18", "densenet121", "efficientnet_b0"]),
        ({"attention": "se"}, "attention", ["se", "none", "cbam", "non_local"]),
        ({"skip": "sum"}, "skip", ["sum", "none", "add", "concat"]),
        ({"skip": "add", "encoders": ["efficientnet_b0"]}, "skip", ["add", "efficientnet_b0", "concat", "resnet18"]),
        ({"model_id": 22}, "model_id", [22, 1, 21]),
        ({"model_id": 0}, "model_id", [0, 1, 21]),
        ({"model_id": [1]}, "model_id", ["[1]", 1, 21]),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], key: str, named: list[object]) -> None:
    with raises_user_error(*named, key=key):
        multi_encoder(**options)
