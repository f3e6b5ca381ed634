"""MedNeXt that compiles."""

from typing import Any

from monai.networks.nets.mednext import MedNeXtSmall
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.wrappers import Padded

# no postponed annotations here: TorchScript reads the types of the attributes as they stand


class MedNeXt(Padded):
    """MONAI's two-dimensional ``MedNeXtSmall`` with 3x3 kernels, in blocks that TorchScript understands.

    Parameters, their names below ``network`` and the outputs are MONAI's. Roy et al., MICCAI 2023, doi
    10.1007/978-3-031-43901-8_39; 5,471,969 parameters.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Example:
        >>> import torch
        >>> MedNeXt()(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1) -> None:
        super().__init__(_Body(in_channels, out_channels), multiple=16)


class _Body(nn.Module):
    """The network for H and W divisible by 16."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        parts = MedNeXtSmall(spatial_dims=2, in_channels=in_channels, out_channels=out_channels)
        self.stem, self.out_0 = parts.stem, parts.out_0
        self.enc_stages = nn.ModuleList(_stage(stage) for stage in parts.enc_stages)
        self.down_blocks = nn.ModuleList(_Resample(block, up=False) for block in parts.down_blocks)
        self.bottleneck = _stage(parts.bottleneck)
        self.up_blocks = nn.ModuleList(_Resample(block, up=True) for block in parts.up_blocks)
        self.dec_stages = nn.ModuleList(_stage(stage) for stage in parts.dec_stages)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        x = self.stem(x)
        for stage, down in zip(self.enc_stages, self.down_blocks):  # noqa: B905 (TorchScript's zip takes no strict)
            x = stage(x)
            skips.append(x)
            x = down(x)
        x = self.bottleneck(x)
        for up, stage in zip(self.up_blocks, self.dec_stages):  # noqa: B905
            x = stage(up(x) + skips.pop())
        logits: Tensor = self.out_0(x)
        return logits


class _Block(nn.Module):
    """Depthwise convolution, group norm, and a perceptron for each pixel, with a shortcut."""

    def __init__(self, parts: Any) -> None:
        super().__init__()
        self.conv1, self.norm = parts.conv1, parts.norm
        self.conv2, self.act, self.conv3 = parts.conv2, parts.act, parts.conv3

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv3(self.act(self.conv2(self.norm(self.conv1(x)))))
        return x + change


class _Resample(nn.Module):
    """The same with strided convolutions, to half or twice the size."""

    up: bool

    def __init__(self, parts: Any, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv1, self.norm, self.res_conv = parts.conv1, parts.norm, parts.res_conv
        self.conv2, self.act, self.conv3 = parts.conv2, parts.act, parts.conv3

    def forward(self, x: Tensor) -> Tensor:
        y = self.res_conv(x) + self.conv3(self.act(self.conv2(self.norm(self.conv1(x)))))
        # transposed convolution yields 2n - 1 pixels from n
        return F.pad(y, [1, 0, 1, 0]) if self.up else y


def _stage(blocks: nn.Module) -> nn.Sequential:
    return nn.Sequential(*(_Block(block) for block in blocks.children()))
