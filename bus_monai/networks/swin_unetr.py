"""Swin UNETR that compiles and exports."""

from typing import Any

from monai.networks.nets import swin_unetr as monai_swin
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.blocks.convolution import InstanceNorm
from bus_monai.networks.blocks.windows import PatchMerging, WindowBlock
from bus_monai.networks.wrappers import Padded

# no postponed annotations here: TorchScript reads the types of the attributes as they stand

FEATURE_COUNT = 24


class SwinUNETR(Padded):
    """MONAI's two-dimensional ``SwinUNETR`` with a transformer that TorchScript and ONNX understand.

    Parameters, their names below ``network`` and the outputs are MONAI's; its windows, masks and patch merging are
    written anew, since MONAI decides on them in Python from the size of the image. Hatamizadeh et al., BrainLes 2021,
    doi 10.1007/978-3-031-08999-2_22; 6,302,203 parameters.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Example:
        >>> import torch
        >>> SwinUNETR()(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1) -> None:
        # so that no stage is smaller than a window
        super().__init__(_Body(in_channels, out_channels), multiple=128)


class _Body(monai_swin.SwinUNETR):
    """The network for H and W divisible by 128."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels=in_channels, out_channels=out_channels, spatial_dims=2, feature_size=FEATURE_COUNT)
        self.swinViT = _Transformer(self.swinViT)  # type: ignore[has-type]
        for block in list(self.modules()):
            for name, norm in block.named_children():
                if isinstance(norm, nn.InstanceNorm2d):
                    setattr(block, name, InstanceNorm(norm.eps))

    def forward(self, x: Tensor) -> Tensor:
        states = self.swinViT(x)
        y = self.decoder5(self.encoder10(states[4]), states[3])
        y = self.decoder4(y, self.encoder4(states[2]))
        y = self.decoder3(y, self.encoder3(states[1]))
        y = self.decoder2(y, self.encoder2(states[0]))
        logits: Tensor = self.out(self.decoder1(y, self.encoder1(x)))
        return logits


class _Transformer(nn.Module):
    """Patches of 2 x 2 pixels and four stages; returns five maps of 1/2 to 1/32 of the size."""

    def __init__(self, parts: Any) -> None:
        super().__init__()
        # containers of one keep the names that MONAI gives the parameters
        self.patch_embed = nn.ModuleDict({"proj": parts.patch_embed.proj})
        self.layers1 = nn.ModuleList([_Stage(parts.layers1[0])])
        self.layers2 = nn.ModuleList([_Stage(parts.layers2[0])])
        self.layers3 = nn.ModuleList([_Stage(parts.layers3[0])])
        self.layers4 = nn.ModuleList([_Stage(parts.layers4[0])])
        self.to_map = nn.ModuleList(_ToMap(FEATURE_COUNT * 2**i) for i in range(5))

    def forward(self, x: Tensor) -> list[Tensor]:
        states = [self.patch_embed["proj"](x).permute(0, 2, 3, 1)]
        states.append(self.layers1[0](states[-1]))
        states.append(self.layers2[0](states[-1]))
        states.append(self.layers3[0](states[-1]))
        states.append(self.layers4[0](states[-1]))
        return [to_map(states[i]) for i, to_map in enumerate(self.to_map)]


class _ToMap(nn.Module):
    """(B, H, W, C), standardized for each patch, to (B, C, H, W)."""

    width: int

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, [self.width]).permute(0, 3, 1, 2)


class _Stage(nn.Module):
    """A block with plain and one with shifted windows, then patch merging; (B, H, W, C) to (B, H/2, W/2, 2C)."""

    def __init__(self, parts: Any) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(WindowBlock(block) for block in parts.blocks))
        self.downsample = PatchMerging(parts.downsample)

    def forward(self, x: Tensor) -> Tensor:
        merged: Tensor = self.downsample(self.blocks(x))
        return merged
