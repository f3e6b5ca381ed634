"""What every segmenter must do: learn everywhere, and give the same logits saved, compiled, exported and in half."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bus_monai.networks.segmenters import SEGMENTER_NAMES, make_segmenter
from tests.networks.onnx_session import onnx_session

COUNTS = {
    "attention_unet": 31_739_185,
    "cgan": 49_989_154,
    "deeplabv3_plus": 58_197_329,
    "erfnet": 2_062_807,
    "fcn": 32_946_753,
    "lite_unet": 3_781_777,
    "mednext": 5_471_969,
    "multi_encoder": 23_881_989,
    "pspnet": 48_800_833,
    "rdau": 24_079_526,
    "resnet_unet": 51_513_233,
    "segnet": 29_442_433,
    "swin_unet": 27_165_060,
    "swin_unetr": 6_302_203,
    "unet": 31_112_065,
    "unet_plus_plus": 9_118_657,
}
SMALL: dict[str, dict[str, Any]] = {
    "attention_unet": {"features": (4, 8, 16, 32, 64)},
    "cgan": {"base_width": 4, "ac_channels": 4},
    "deeplabv3_plus": {"backbone": "resnet18"},
    "fcn": {"backbone": "resnet18"},
    "multi_encoder": {"encoders": ("resnet18", "densenet121")},
    "pspnet": {"backbone": "resnet18"},
    "resnet_unet": {"backbone": "resnet18"},
    "swin_unet": {"features": 12},
    "unet": {"features": (4, 8, 16, 32, 64, 4)},
    "unet_plus_plus": {"features": (4, 8, 16, 32, 64, 4)},
}
"""Options that make a network of the same layers with fewer channels or blocks, where it has such."""
SIZES = ((64, 64), (65, 77))
GOLDEN = Path(__file__).with_name("golden_outputs.json")


class Built:
    """One seeded network in evaluation mode and its logits at both sizes."""

    def __init__(self, name: str, options: dict[str, Any] | None = None) -> None:
        torch.manual_seed(0)
        self.name, self.options = name, options
        self.net = make_segmenter(name, options).eval()
        with torch.no_grad():
            self.logits = [self.net(images(*size)) for size in SIZES]


@pytest.fixture(scope="module", params=COUNTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def built(name: str) -> Built:
    """The network of the paper."""
    return Built(name)


@pytest.fixture(scope="module")
def small(name: str, request: pytest.FixtureRequest) -> Built:
    """The same with fewer channels, where it can have fewer."""
    made: Built = Built(name, SMALL[name]) if name in SMALL else request.getfixturevalue("built")
    return made


def images(height: int, width: int) -> Tensor:
    """Return stripes and a bright frame, (2, 1, height, width) in [0, 1]."""
    row, column = torch.linspace(-1, 1, height).unsqueeze(1), torch.linspace(-1, 1, width).unsqueeze(0)
    stripes = 0.5 + 0.4 * torch.sin(5 * row + 3 * column)
    frame = 0.6 * (row**2 + column**2 > 0.3) + 0.2 * torch.cos(40 * row * column).abs()
    return torch.stack([stripes, frame]).unsqueeze(1)


def tolerance(logits: Tensor) -> float:
    """Return 1e-4 of the largest logit, or of 1 if that is larger, but at most a hundredth of their spread."""
    # untrained networks in evaluation mode may have logits of several hundreds, or nearly all the same
    return min(1e-4 * max(1.0, float(logits.abs().max())), 0.01 * float(logits.std()))


def assert_same(actual: Tensor, expected: Tensor) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected.numpy(), atol=tolerance(expected), rtol=0)


def test_every_name_is_here() -> None:
    assert tuple(COUNTS) == SEGMENTER_NAMES


def test_parameters(built: Built) -> None:
    assert sum(p.numel() for p in built.net.parameters()) == COUNTS[built.name]


def test_logits_have_the_size_of_the_image(built: Built) -> None:
    assert [tuple(y.shape) for y in built.logits] == [(2, 1, *size) for size in SIZES]
    with torch.no_grad():
        assert built.net(images(32, 33)).shape == (2, 1, 32, 33)


def test_gradient_reaches_every_parameter(small: Built) -> None:
    torch.manual_seed(0)
    net = copy.deepcopy(small.net).train()
    logits = net(images(65, 77))
    assert logits.shape == (2, 1, 65, 77)
    logits.square().mean().backward()
    without = [n for n, p in net.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())]
    assert without == []


def test_saved_and_loaded_again(small: Built) -> None:
    buffer = io.BytesIO()
    torch.save(small.net.state_dict(), buffer)
    buffer.seek(0)
    torch.manual_seed(1)
    fresh = make_segmenter(small.name, small.options).eval()
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(fresh(images(*SIZES[0])), small.logits[0], atol=0, rtol=0)


def test_torchscript_equals_eager_at_any_size(small: Built) -> None:
    script = torch.jit.script(small.net)
    for size, expected in zip(SIZES, small.logits, strict=True):
        with torch.no_grad():
            assert_same(script(images(*size)), expected)


def test_onnx_equals_eager_at_any_size(small: Built) -> None:
    run = onnx_session(small.net, images(*SIZES[0]))
    for size, expected in zip(SIZES, small.logits, strict=True):
        # one image, to see that the batch is free as well
        assert_same(run(images(*size)[:1]), expected[:1])


def test_half_precision_is_close(small: Built) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = small.net(images(*SIZES[0])).float()
    assert bool(half.isfinite().all())
    # the mean, for single maxima of SegNet may fall on the neighboring pixel
    error = float((half - small.logits[0]).abs().mean())
    assert error < 0.2 * float(small.logits[0].std())


def test_images_do_not_see_each_other(small: Built) -> None:
    for size, expected in zip(SIZES, small.logits, strict=True):
        with torch.no_grad():
            assert_same(small.net(images(*size)[1:]), expected[1:])


def golden(built: Built) -> dict[str, float | list[float]]:
    """Return mean, standard deviation and four values of the logits at 65 x 77, as the file keeps them."""
    y = built.logits[1]
    corners = y[:, 0, 10::40, 20::40].flatten()[:4]
    return {"mean": float(y.mean()), "std": float(y.std()), "values": corners.tolist()}


def test_golden_output(built: Built) -> None:
    """A change of these numbers is a change of the network: old weights would no longer fit."""
    expected = json.loads(GOLDEN.read_text())[built.name]
    actual = golden(built)
    assert list(actual) == list(expected)
    for key, value in expected.items():
        assert actual[key] == pytest.approx(value, abs=tolerance(built.logits[1]))
