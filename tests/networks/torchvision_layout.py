"""Names and shapes of torchvision's weights, written out from the published architectures."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

Entry = tuple[str, tuple[int, ...]]


def norm(name: str, channels: int) -> Iterator[Entry]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def resnet(depths: tuple[int, ...], *, bottleneck: bool) -> Iterator[Entry]:
    """ResNet: He et al. 2016, Table 1."""
    yield "conv1.weight", (64, 3, 7, 7)
    yield from norm("bn1", 64)
    before, expansion = 64, 4 if bottleneck else 1
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for block in range(depth):
            name = f"layer{stage + 1}.{block}"
            shapes = (
                [(width, before, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
                if bottleneck
                else [(width, before, 3, 3), (width, width, 3, 3)]
            )
            for i, shape in enumerate(shapes, start=1):
                yield f"{name}.conv{i}.weight", shape
                yield from norm(f"{name}.bn{i}", shape[0])
            if block == 0 and (stage > 0 or bottleneck):
                yield f"{name}.downsample.0.weight", (expansion * width, before, 1, 1)
                yield from norm(f"{name}.downsample.1", expansion * width)
            before = expansion * width
    yield "fc.weight", (1000, before)
    yield "fc.bias", (1000,)


def densenet121() -> Iterator[Entry]:
    """DenseNet: Huang et al. 2017, Table 1, growth 32."""
    yield "features.conv0.weight", (64, 3, 7, 7)
    yield from norm("features.norm0", 64)
    channels = 64
    for block, depth in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, depth + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            yield from norm(f"{name}.norm1", channels)
            yield f"{name}.conv1.weight", (128, channels, 1, 1)
            yield from norm(f"{name}.norm2", 128)
            yield f"{name}.conv2.weight", (32, 128, 3, 3)
            channels += 32
        if block < 4:
            yield from norm(f"features.transition{block}.norm", channels)
            yield f"features.transition{block}.conv.weight", (channels // 2, channels, 1, 1)
            channels //= 2
    yield from norm("features.norm5", channels)
    yield "classifier.weight", (1000, channels)
    yield "classifier.bias", (1000,)


def efficientnet_b0() -> Iterator[Entry]:
    """EfficientNet: Tan and Le 2019, Table 1; rows of expansion, kernel, channels, depth."""
    yield "features.0.0.weight", (32, 3, 3, 3)
    yield from norm("features.0.1", 32)
    before = 32
    rows = ((1, 3, 16, 1), (6, 3, 24, 2), (6, 5, 40, 2), (6, 3, 80, 3), (6, 5, 112, 3), (6, 5, 192, 4), (6, 3, 320, 1))
    for stage, (expansion, kernel, width, depth) in enumerate(rows, start=1):
        for layer in range(depth):
            name, inner, part = f"features.{stage}.{layer}.block", expansion * before, 0
            if expansion > 1:
                yield f"{name}.0.0.weight", (inner, before, 1, 1)
                yield from norm(f"{name}.0.1", inner)
                part = 1
            yield f"{name}.{part}.0.weight", (inner, 1, kernel, kernel)
            yield from norm(f"{name}.{part}.1", inner)
            yield f"{name}.{part + 1}.fc1.weight", (before // 4, inner, 1, 1)
            yield f"{name}.{part + 1}.fc1.bias", (before // 4,)
            yield f"{name}.{part + 1}.fc2.weight", (inner, before // 4, 1, 1)
            yield f"{name}.{part + 1}.fc2.bias", (inner,)
            yield f"{name}.{part + 2}.0.weight", (width, inner, 1, 1)
            yield from norm(f"{name}.{part + 2}.1", width)
            before = width
    yield "features.8.0.weight", (1280, 320, 1, 1)
    yield from norm("features.8.1", 1280)
    yield "classifier.1.weight", (1000, 1280)
    yield "classifier.1.bias", (1000,)


def vgg16() -> Iterator[Entry]:
    """VGG: Simonyan and Zisserman 2015, table 1, column D; layers numbered with their activations and pools."""
    number, before = 0, 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if not width:
            number += 1
            continue
        yield f"features.{number}.weight", (width, before, 3, 3)
        yield f"features.{number}.bias", (width,)
        number, before = number + 2, width
    for layer, (outputs, inputs) in zip((0, 3, 6), ((4096, 512 * 7 * 7), (4096, 4096), (1000, 4096)), strict=True):
        yield f"classifier.{layer}.weight", (outputs, inputs)
        yield f"classifier.{layer}.bias", (outputs,)


LAYOUTS = {
    "resnet18": lambda: resnet((2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda: resnet((3, 4, 6, 3), bottleneck=True),
    "resnet101": lambda: resnet((3, 4, 23, 3), bottleneck=True),
    "vgg16": vgg16,
    "densenet121": densenet121,
    "efficientnet_b0": efficientnet_b0,
}


def photographs(name: str) -> dict[str, Tensor]:
    """Return weights in torchvision's layout, small, with variances that can be divided by."""
    generator = torch.Generator().manual_seed(1)
    return {
        key: torch.rand(shape, generator=generator) * 0.1 + (0.5 if "running_var" in key else 0)
        for key, shape in LAYOUTS[name]()
    }
