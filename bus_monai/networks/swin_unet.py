"""Swin-UNet."""

import torch
from monai.networks.nets.swin_unetr import PatchMergingV2, SwinTransformerBlock
from torch import Tensor, nn

from bus_monai.networks.blocks.windows import PatchMerging, WindowBlock
from bus_monai.networks.wrappers import Padded

# no postponed annotations here: TorchScript reads the types of the attributes as they stand

HEADS = (3, 6, 12, 24)
"""Attention heads from the first stage to the bottleneck, as published; each stage has two blocks."""
PATCH, WINDOW = 4, 7
"""Sides of a patch in pixels and of a window in patches, as published."""
DROP_PATH = 0.2
"""Share of images that the deepest block leaves out in training, of the authors' settings."""


class SwinUNet(Padded):
    """A U-Net of transformers alone: Cao et al., ECCV Workshops 2022, doi 10.1007/978-3-031-25066-8_9.

    Published for 224 x 224 pixels, where the bottleneck is one window of 7 x 7 patches; at other sizes its windows are
    not shifted either. 27,165,060 parameters; 27,168,900 with three input channels and nine classes, which others give
    as 27.17 million.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        features: channels of the first stage, a multiple of 3; each deeper stage has twice as many.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Example:
        >>> SwinUNet(features=24)(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1, features: int = 96) -> None:
        super().__init__(_Body(in_channels, out_channels, features), multiple=PATCH * 2 ** (len(HEADS) - 1))


class _Body(nn.Module):
    """The network for H and W divisible by 32."""

    def __init__(self, in_channels: int, out_channels: int, features: int) -> None:
        super().__init__()
        widths = [features * 2**i for i in range(len(HEADS) - 1)]
        self.patches = nn.Conv2d(in_channels, features, PATCH, stride=PATCH)
        self.first_norm = nn.LayerNorm(features)
        self.stages = nn.ModuleList(_stage(i, width) for i, width in enumerate(widths))
        self.merge = nn.ModuleList(PatchMerging(PatchMergingV2(width, spatial_dims=2)) for width in widths)
        self.bottleneck = _stage(len(widths), 2 * widths[-1])
        self.norm = nn.LayerNorm(2 * widths[-1])
        self.expand = nn.ModuleList(_PatchExpanding(2 * width, width, 2) for width in reversed(widths))
        self.join = nn.ModuleList(nn.Linear(2 * width, width) for width in reversed(widths))
        self.up_stages = nn.ModuleList(_stage(i, widths[i]) for i in reversed(range(len(widths))))
        self.last_norm = nn.LayerNorm(features)
        self.to_pixels = _PatchExpanding(features, features, PATCH)
        self.head = nn.Conv2d(features, out_channels, 1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first_norm(self.patches(x).permute(0, 2, 3, 1))
        skips: list[Tensor] = []
        for stage, merge in zip(self.stages, self.merge):  # noqa: B905 (TorchScript's zip takes no strict)
            skips.append(y)
            y = merge(stage(y))
        y = self.norm(self.bottleneck(y))
        for expand, join, stage in zip(self.expand, self.join, self.up_stages):  # noqa: B905
            y = stage(join(torch.cat([expand(y), skips.pop()], dim=-1)))
        logits: Tensor = self.head(self.to_pixels(self.last_norm(y)).permute(0, 3, 1, 2))
        return logits


class _PatchExpanding(nn.Module):
    """Each patch becomes ``scale`` x ``scale`` patches of ``width`` channels."""

    scale: int

    def __init__(self, before: int, width: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.expand = nn.Linear(before, scale**2 * width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, _ = x.shape
        y = self.expand(x).reshape(b, h, w, self.scale, self.scale, -1).permute(0, 1, 3, 2, 4, 5)
        expanded: Tensor = self.norm(y.reshape(b, h * self.scale, w * self.scale, -1))
        return expanded


def _stage(depth: int, width: int) -> nn.Sequential:
    """A block with plain and one with shifted windows; the bottleneck's, of one window as published, are both plain."""
    last = len(HEADS) - 1
    blocks = []
    for i in range(2):
        shift = WINDOW // 2 if i == 1 and depth < last else 0
        rate = DROP_PATH * (2 * depth + i) / (2 * last + 1)
        blocks.append(
            WindowBlock(
                SwinTransformerBlock(
                    width, HEADS[depth], (WINDOW, WINDOW), (shift, shift), qkv_bias=True, drop_path=rate
                )
            )
        )
    return nn.Sequential(*blocks)
