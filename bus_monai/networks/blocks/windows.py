"""Attention in shifted windows that TorchScript and ONNX understand.

Liu et al., Swin Transformer, ICCV 2021, doi 10.1109/ICCV48922.2021.00986. Windows, masks and patch merging are written
anew, since MONAI decides on them in Python from the size of the image.
"""

import torch
from monai.networks.nets.swin_unetr import PatchMergingV2, SwinTransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F

# no postponed annotations here: TorchScript reads the types of the attributes as they stand


class WindowBlock(nn.Module):
    """Attention inside each window, then a perceptron for each patch, both with a shortcut.

    Args:
        parts: MONAI's ``SwinTransformerBlock``, whose parameters and their names it keeps.

    Shape:
        (B, H, W, C) to the same, any H and W: zeros fill the last windows.
    """

    window: int
    shift: int

    def __init__(self, parts: SwinTransformerBlock) -> None:
        super().__init__()
        self.window, self.shift = parts.window_size[0], parts.shift_size[0]
        self.norm1, self.attn, self.norm2, self.mlp = parts.norm1, parts.attn, parts.norm2, parts.mlp
        # a factor for each image: MONAI's DropPath is none that TorchScript understands
        self.path = nn.Dropout(getattr(parts.drop_path, "drop_prob", 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the patches after attention and perceptron."""
        height, width = x.shape[1], x.shape[2]
        below = (self.window - height % self.window) % self.window
        right = (self.window - width % self.window) % self.window
        y = F.pad(self.norm1(x), [0, 0, 0, right, 0, below])
        y = torch.roll(y, [-self.shift, -self.shift], [1, 2])
        mask = _mask(height + below, width + right, self.window, self.shift, x.device)
        y = _join(self.attn(_partition(y, self.window), mask), height + below, width + right, self.window)
        x = x + self._dropped(torch.roll(y, [self.shift, self.shift], [1, 2])[:, :height, :width])
        return x + self._dropped(self.mlp(self.norm2(x)))

    def _dropped(self, change: Tensor) -> Tensor:
        """Leave out the change of some images in training (stochastic depth)."""
        if not self.training:
            return change
        kept: Tensor = self.path(torch.ones([len(change), 1, 1, 1], dtype=change.dtype, device=change.device))
        return change * kept


class PatchMerging(nn.Module):
    """Each 2 x 2 patches become one of twice the channels.

    Args:
        parts: MONAI's ``PatchMergingV2``, whose parameters and their names it keeps.

    Shape:
        (B, H, W, C) to (B, H / 2, W / 2, 2 C), even H and W.
    """

    def __init__(self, parts: PatchMergingV2) -> None:
        super().__init__()
        self.reduction, self.norm = parts.reduction, parts.norm

    def forward(self, x: Tensor) -> Tensor:
        """Return a quarter of the patches."""
        four = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
        merged: Tensor = self.reduction(self.norm(torch.cat(four, dim=-1)))
        return merged


def _partition(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) to (B * windows, window * window, C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // window, window, w // window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, c)


def _join(windows: Tensor, height: int, width: int, window: int) -> Tensor:
    """(B * windows, window * window, C) back to (B, H, W, C)."""
    rows, columns, channels = height // window, width // window, windows.shape[2]
    x = windows.reshape(-1, rows, columns, window, window, channels).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, height, width, channels)


def _mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """(windows, patches, patches): -100 between patches that only the shift has brought into one window, else 0."""
    row, column = torch.arange(height, device=device), torch.arange(width, device=device)
    bands = (row >= height - window).long() + (row >= height - shift).long()
    stripes = (column >= width - window).long() + (column >= width - shift).long()
    regions = 3 * bands.unsqueeze(1) + stripes.unsqueeze(0)
    region = _partition(regions.unsqueeze(0).unsqueeze(-1), window).squeeze(-1)
    return -100.0 * (region.unsqueeze(1) != region.unsqueeze(2)).float()
