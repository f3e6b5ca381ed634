"""CBAM, non-local block and separable convolution against plain loops in double precision."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch
from torch import nn

from bus_monai.networks.blocks.attention import CBAM, NonLocal
from bus_monai.networks.blocks.convolution import separable

CHANNELS, HEIGHT, WIDTH = 16, 4, 5


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def sigmoid(value: float) -> float:
    return 1 / (1 + exp(-value))


def seeded(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double()


def matrix(conv: nn.Conv2d) -> np.ndarray:
    return conv.weight.detach().numpy()[:, :, 0, 0]


@pytest.mark.parametrize(("channels", "expected"), [(512, 65_634), (256, 16_482), (128, 4_194), (64, 1_122)])
def test_parameters_of_cbam(channels: int, expected: int) -> None:
    assert count(CBAM(channels)) == expected


@pytest.mark.parametrize(("channels", "expected"), [(512, 525_568), (256, 131_712), (128, 33_088), (64, 8_352)])
def test_parameters_of_the_non_local_block(channels: int, expected: int) -> None:
    assert count(NonLocal(channels)) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(2816, 512, 1_473_792), (2304, 512, 1_206_016), (1792, 512, 938_240), (1536, 512, 804_352), (128, 64, 9_728)],
)
def test_parameters_of_the_separable_convolution(before: int, after: int, expected: int) -> None:
    assert count(separable(before, after)) == expected


def test_cbam_against_its_formula() -> None:
    block = seeded(CBAM(CHANNELS))
    x = torch.randn(2, CHANNELS, HEIGHT, WIDTH).double()
    first, second = matrix(block.perceptron[0]), matrix(block.perceptron[2])
    kernel = block.pixel.weight.detach().numpy()[0]
    out = block(x).detach().numpy()
    for n, image in enumerate(x.numpy()):
        mean = np.array([sum(image[c].ravel()) / (HEIGHT * WIDTH) for c in range(CHANNELS)])
        maximum = np.array([max(image[c].ravel()) for c in range(CHANNELS)])
        score = second @ np.maximum(first @ mean, 0) + second @ np.maximum(first @ maximum, 0)
        weighted = np.stack([image[c] * sigmoid(score[c]) for c in range(CHANNELS)])
        for row in range(HEIGHT):
            for column in range(WIDTH):
                logit = 0.0
                for r in range(max(0, row - 3), min(HEIGHT, row + 4)):
                    for c in range(max(0, column - 3), min(WIDTH, column + 4)):
                        taps = kernel[:, r - row + 3, c - column + 3]
                        pixel = weighted[:, r, c]
                        logit += taps[0] * sum(pixel) / CHANNELS + taps[1] * max(pixel)
                np.testing.assert_allclose(
                    out[n, :, row, column], weighted[:, row, column] * sigmoid(logit), rtol=1e-10
                )


def test_non_local_block_against_its_formula() -> None:
    block = seeded(NonLocal(CHANNELS))
    x = torch.randn(2, CHANNELS, HEIGHT, WIDTH).double()
    out = block(x).detach().numpy()

    def project(conv: nn.Conv2d, vector: np.ndarray) -> np.ndarray:
        return matrix(conv) @ vector + conv.bias.detach().numpy()

    for n, image in enumerate(x.numpy()):
        pixels = [image[:, r, c] for r in range(HEIGHT) for c in range(WIDTH)]
        for i, here in enumerate(pixels):
            likeness = [exp(project(block.theta, here) @ project(block.phi, there)) for there in pixels]
            seen = sum(w * project(block.g, there) for w, there in zip(likeness, pixels, strict=True)) / sum(likeness)
            np.testing.assert_allclose(
                out[n, :, i // WIDTH, i % WIDTH], here + project(block.out, seen), rtol=1e-9, atol=1e-12
            )


def test_non_local_block_starts_as_the_identity() -> None:
    x = torch.randn(1, 8, 3, 4)
    assert torch.equal(NonLocal(8)(x), x)


def test_separable_convolution_against_its_formula() -> None:
    block = seeded(separable(3, 2)).eval()
    x = torch.randn(1, 3, HEIGHT, WIDTH).double()
    depthwise, norm1, _, pointwise, norm2, _ = block
    out = block(x).detach().numpy()[0]
    kernel = depthwise.weight.detach().numpy()[:, 0]
    padded = np.pad(x.numpy()[0], ((0, 0), (1, 1), (1, 1)))

    def norm(module: nn.BatchNorm2d, value: np.ndarray) -> np.ndarray:
        scaled = value / np.sqrt(1 + module.eps) * module.weight.detach().numpy() + module.bias.detach().numpy()
        return np.clip(scaled, 0, 6)

    for row in range(HEIGHT):
        for column in range(WIDTH):
            window = padded[:, row : row + 3, column : column + 3]
            apart = np.array([(kernel[c] * window[c]).sum() for c in range(3)])
            expected = norm(norm2, matrix(pointwise) @ norm(norm1, apart))
            np.testing.assert_allclose(out[:, row, column], expected, rtol=1e-10, atol=1e-12)
