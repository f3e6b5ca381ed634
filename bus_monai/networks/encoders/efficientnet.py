"""EfficientNet-B0 and EfficientNet-Lite0, -Lite1 and -Lite2 as encoders of a segmenter."""

import math
from collections import OrderedDict
from typing import Final

import torch
from monai.networks.nets.efficientnet import EfficientNetBN
from torch import Tensor, nn

from bus_monai.errors import check_choice

# no postponed annotations here: TorchScript reads the types of the attributes as they stand

LITE_STAGES = ((1, 16, 3, 1, 1), (2, 24, 3, 2, 6), (2, 40, 5, 2, 6), (3, 80, 3, 2, 6), (3, 112, 5, 1, 6),
          (4, 192, 5, 2, 6), (1, 320, 3, 1, 6))  # fmt: skip
"""Blocks, channels, kernel size, stride and expansion of each stage: those of EfficientNet-B0."""
LITE_SCALES = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
"""Factors of channels and of blocks; stem, and blocks of the first and last stage, are never more."""
STEM_WIDTH = 32
NORM_EPSILON = 1e-3
"""Of batch normalization, as in the weights that were published."""


class EfficientNetEncoder(nn.Module):
    """MONAI's EfficientNet-B0 without its classifier, returning features at five sizes.

    Laid out as torchvision's, whose weights then give torchvision's features: nine numbered modules, convolutions
    padded alike on all sides (MONAI's own padding is TensorFlow's, half a pixel aside) and batch normalization with
    its usual epsilon; three input channels. Tan and Le, ICML 2019, arXiv 1905.11946; 4,007,548 parameters.

    Args:
        in_channels: 1 is repeated to the three that color photographs have, 3 are taken as they are; with any other
            number the first convolution is another one, which such weights do not fit.

    Attributes:
        name: ``efficientnet_b0``.
        widths: channels of the five maps.

    Shape:
        (B, in_channels, H, W) to a list of five: (B, widths[i], H/s, W/s) with
        s = 2, 4, 8, 16, 32, sizes rounded up: the last block of each size.
    """

    repeats: bool
    name: Final = "efficientnet_b0"
    widths: Final = (16, 24, 40, 112, 1280)

    def __init__(self, *, in_channels: int = 1) -> None:
        super().__init__()
        self.repeats = in_channels == 1
        net = EfficientNetBN(
            "efficientnet-b0",
            pretrained=False,
            in_channels=3 if self.repeats else in_channels,
            num_classes=1,
            norm="batch",
        )
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.padding = (module.kernel_size[0] // 2, module.kernel_size[1] // 2)
            for name, _ in module.named_children():
                if name.endswith("_padding"):
                    setattr(module, name, nn.Identity())
                elif name == "_swish":
                    setattr(module, name, nn.SiLU(inplace=True))
        self.features = nn.Sequential(
            nn.Sequential(net._conv_stem, net._bn0, nn.SiLU(inplace=True)),
            *(nn.Sequential(*stage) for stage in net._blocks),
            nn.Sequential(net._conv_head, net._bn1, nn.SiLU(inplace=True)),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of ``x``, the largest first."""
        if self.repeats:
            x = x.expand(-1, 3, -1, -1)
        kept: list[Tensor] = []
        # the last module of each size
        for i, module in enumerate(self.features):
            x = module(x)
            if i == 1 or i == 2 or i == 3 or i == 5 or i == 8:
                kept.append(x)
        return kept


class EfficientNetLiteEncoder(nn.Module):
    """EfficientNet-Lite0, -Lite1 or -Lite2 without its head and classifier, returning features at five sizes.

    EfficientNet-B0 (Tan and Le, ICML 2019, arXiv 1905.11946) without squeeze-and-excitation and with ReLU6 in place of
    swish, as Google published it (github.com/tensorflow/tpu, models/official/efficientnet/lite). Strided convolutions
    pad as TensorFlow's do for even sizes, one pixel more below and on the right, so that its weights give its features.
    The image is scaled to [-1, 1] inside, which is what these weights were trained on; all three colors are scaled
    alike, so that the sum of the stem's three channels gives on gray exactly what they give on three equal ones.
    2,958,272 parameters of Lite0 with one channel, 3,722,944 of Lite1, 4,357,376 of Lite2.

    Args:
        variant: ``efficientnet_lite0``, ``efficientnet_lite1`` or ``efficientnet_lite2``.
        in_channels: of the image, 1 for gray.
        standardized: the image has mean 0 and standard deviation 1 in place of values in [0, 1]; it is halved, since
            photographs in [-1, 1] deviate by about one half.

    Attributes:
        name: the variant.
        widths: channels of the five maps.

    Shape:
        (B, in_channels, H, W), H and W divisible by 32, to a list of five:
        (B, widths[i], H/s, W/s) with s = 2, 4, 8, 16, 32: the last block of each size.

    Raises:
        UserError: unknown variant.
    """

    ends: list[int]

    def __init__(
        self, variant: str = "efficientnet_lite0", *, in_channels: int = 1, standardized: bool = False
    ) -> None:
        super().__init__()
        check_choice("variant", variant, LITE_SCALES)
        self.name = variant
        self.in_channels = in_channels
        self.scale, self.offset = (0.5, 0.0) if standardized else (2.0, -1.0)
        self.stem = _conv_norm_act(in_channels, STEM_WIDTH, 3, stride=2)
        blocks: list[nn.Module] = []
        ends: list[int] = []
        widths: list[int] = []
        before = STEM_WIDTH
        for channels, count, kernel_size, stride, expansion in _lite_stages(variant):
            if stride == 2:
                ends.append(len(blocks) - 1)
                widths.append(before)
            for i in range(count):
                blocks.append(_Block(before, channels, kernel_size, stride if i == 0 else 1, expansion))
                before = channels
        self.blocks = nn.ModuleList(blocks)
        # the last block of each size
        self.ends = [*ends, len(blocks) - 1]
        self.widths = (*widths, before)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of ``x``, the largest first."""
        x = self.stem(self.scale * x + self.offset)
        kept: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.ends:
                kept.append(x)
        return kept


def _lite_stages(variant: str) -> list[tuple[int, int, int, int, int]]:
    """Return channels, blocks, kernel size, stride and expansion of each stage."""
    wider, deeper = LITE_SCALES[variant]
    stages = []
    for number, (count, channels, kernel_size, stride, expansion) in enumerate(LITE_STAGES):
        edge = number in (0, len(LITE_STAGES) - 1)
        # channels in eights, rounded as in the code of its authors
        width = max(8, int(channels * wider + 4) // 8 * 8)
        width += 8 if width < 0.9 * channels * wider else 0
        stages.append((width, count if edge else math.ceil(count * deeper), kernel_size, stride, expansion))
    return stages


class _Block(nn.Module):
    """Inverted residual (Sandler et al., CVPR 2018, arXiv 1801.04381)."""

    residual: bool

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels
        inner = in_channels * expansion
        self.expand = _conv_norm_act(in_channels, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _conv_norm_act(inner, inner, kernel_size, stride=stride, groups=inner)
        self.project = _conv_norm_act(inner, out_channels, 1)[:-1]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class _DepthwiseConv2d(nn.Conv2d):
    """Trains in float32 on processors, whose gradients of depthwise convolutions in bfloat16 are up to 90 times slower.

    With them a training step of the small U-Net takes half as long again.
    """

    def forward(self, x: Tensor) -> Tensor:
        # torch.jit does not export it to type checkers
        if torch.jit.is_scripting() or not self.training or x.device.type != "cpu":  # type: ignore[attr-defined]
            plain: Tensor = self._conv_forward(x, self.weight, self.bias)
            return plain
        with torch.autocast("cpu", enabled=False):
            y: Tensor = self._conv_forward(x.float(), self.weight, self.bias)
        return y.to(x.dtype)


def _conv_norm_act(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    before = (kernel_size - stride) // 2
    after = kernel_size - stride - before
    even = before == after
    padding = before if even else 0
    kind = _DepthwiseConv2d if groups > 1 else nn.Conv2d
    return nn.Sequential(
        OrderedDict(
            pad=nn.Identity() if even else nn.ZeroPad2d((before, after, before, after)),
            conv=kind(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False),
            norm=nn.BatchNorm2d(out_channels, eps=NORM_EPSILON),
            act=nn.ReLU6(inplace=True),
        )
    )
