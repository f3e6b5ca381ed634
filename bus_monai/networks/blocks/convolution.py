"""Convolutional blocks of the published networks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.errors import check_choice

# no postponed annotations here: TorchScript reads the type of the attribute as it stands


def adaptive_mean(x: Tensor, bins: int) -> Tensor:
    """Return the means over ``bins`` x ``bins`` regions, as ``torch.nn.functional.adaptive_avg_pool2d`` does.

    Written as two matrix products, since ONNX has no adaptive pooling for sizes unknown at export.

    Args:
        x: (B, C, H, W).
        bins: regions along each side.

    Returns:
        (B, C, bins, bins).
    """
    return _weights(x.shape[2], bins, x) @ x @ _weights(x.shape[3], bins, x).transpose(0, 1)


def _weights(size: int, bins: int, like: Tensor) -> Tensor:
    """Row i averages the pixels from floor(i * size / bins) up to ceil((i + 1) * size / bins)."""
    pixel = torch.arange(size, device=like.device).unsqueeze(0)
    index = torch.arange(bins, device=like.device).unsqueeze(1)
    # in integers: pixel p touches region i where p + 1 > i * size / bins and p < (i + 1) * size / bins
    inside = ((pixel + 1) * bins > index * size) & (pixel * bins < (index + 1) * size)
    weights = inside.to(like.dtype)
    return weights / weights.sum(dim=1, keepdim=True)


class AtrousBlock(nn.Module):
    """3x3 convolutions of several dilation rates beside the mean of a 1x1 convolution, side by side.

    The convolutions of ``rates``, in that order and each with LeakyReLU 0.2, come first and the mean comes last; all
    are brought back to the size of the input, the convolutions bilinearly. Singh et al., "Breast tumor segmentation in
    ultrasound images using contextual-information-aware deep adversarial learning framework", Expert Systems with
    Applications 2020, doi 10.1016/j.eswa.2020.113870, which follows DeepLab (arXiv 1706.05587). Neither the width of
    the branches nor the bilinear up-sampling is published.

    Args:
        in_channels: channels of the input.
        branch_channels: channels of each branch.
        rates: dilation rates, which are the paddings too.
        stride: of the 3x3 convolutions.

    Attributes:
        out_channels: ``branch_channels * (len(rates) + 1)``.

    Shape:
        (B, in_channels, H, W) to (B, out_channels, H, W).
    """

    def __init__(
        self, in_channels: int, branch_channels: int, *, rates: Sequence[int] = (1, 6, 9), stride: int = 2
    ) -> None:
        super().__init__()
        self.out_channels = branch_channels * (len(rates) + 1)
        self.dilated = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(in_channels, branch_channels, 3, stride=stride, padding=rate, dilation=rate),
                nn.LeakyReLU(0.2),
            )
            for rate in rates
        )
        self.pooled = nn.Conv2d(in_channels, branch_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches, one after the other."""
        height, width = x.shape[2], x.shape[3]
        outputs: list[Tensor] = []
        for branch in self.dilated:
            outputs.append(F.interpolate(branch(x), size=[height, width], mode="bilinear", align_corners=False))
        # the mean of a 1x1 convolution is the convolution of the mean
        mean = self.pooled(x.mean(dim=[2, 3], keepdim=True))
        outputs.append(mean.expand(-1, -1, height, width))
        return torch.cat(outputs, dim=1)


def conv_norm_act(in_channels: int, out_channels: int, kernel_size: int, *, dilation: int = 1) -> nn.Sequential:
    """Make a convolution without bias that keeps the size, batch normalization and ReLU.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: odd.
        dilation: pixels between the taps of the kernel.

    Returns:
        (B, in_channels, H, W) to (B, out_channels, H, W).
    """
    padding = dilation * (kernel_size // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class DilatedModule(nn.Module):
    """3x3 convolutions of growing dilation, each with ReLU, whose outputs are summed.

    In ``cascade`` each convolution feeds the next, so the receptive fields are 3, 7, 15, 31, 63 and 127 pixels for the
    rates 1, 2, 4, 8, 16 and 32, the figures printed in the papers; in ``parallel`` all read the input and they are 3,
    5, 9, 17, 33 and 65.

    Args:
        in_channels: channels of the input.
        out_channels: channels of every convolution.
        rates: dilation rates.
        mode: ``cascade`` or ``parallel``.

    Shape:
        (B, in_channels, H, W) to (B, out_channels, H, W).

    Raises:
        UserError: unknown mode.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        rates: Sequence[int] = (1, 2, 4, 8, 16, 32),
        mode: str = "cascade",
    ) -> None:
        super().__init__()
        check_choice("dilated_mode", mode, ("cascade", "parallel"))
        self.cascade = mode == "cascade"
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    out_channels if self.cascade and i else in_channels, out_channels, 3, padding=rate, dilation=rate
                ),
                nn.ReLU(),
            )
            for i, rate in enumerate(rates)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of the branches."""
        outputs: list[Tensor] = []
        for branch in self.branches:
            y = branch(x)
            outputs.append(y)
            if self.cascade:
                x = y
        total = outputs[0]
        for y in outputs[1:]:
            total = total + y
        return total


class InstanceNorm(nn.Module):
    """Subtract the mean of each channel of each image and divide by its standard deviation.

    The values of ``torch.nn.InstanceNorm2d`` without parameters, which ONNX export refuses where it cannot infer the
    number of channels, and whose variance ONNX Runtime takes as a difference of large numbers. Ulyanov et al., 2016,
    arXiv 1607.08022.

    Args:
        eps: added to the variance.

    Shape:
        (B, C, H, W) to the same.
    """

    eps: float

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with mean 0 and variance 1."""
        # half precision has too few digits for a variance
        centered = x.float() - x.float().mean(dim=[2, 3], keepdim=True)
        variance = centered.square().mean(dim=[2, 3], keepdim=True)
        return (centered * (variance + self.eps).rsqrt()).to(x.dtype)


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with a projected shortcut; no activation after the sum.

    ``BN-ReLU-conv(stride)-BN-ReLU-conv`` plus ``conv1x1(stride)-BN``, as in the code of Negi et al.
    (RDA-UNET-WGAN, AJSE 2020, doi 10.1007/s13369-020-04480-z).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: stride of the first convolution and of the shortcut.
        pre_activation: whether ``BN-ReLU`` precedes the first convolution; the network's first unit sees raw pixels
            and does without.
        use_shortcut: ``False`` leaves the shortcut out (ablation).

    Shape:
        (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        pre_activation: bool = True,
        use_shortcut: bool = True,
    ) -> None:
        super().__init__()
        self.pre = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU()) if pre_activation else nn.Identity()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.use_shortcut = use_shortcut
        self.shortcut = (
            nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels))
            if use_shortcut
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit."""
        residual: Tensor = self.residual(self.pre(x))
        return residual + self.shortcut(x) if self.use_shortcut else residual


def separable(in_channels: int, out_channels: int) -> nn.Sequential:
    """Make a 3x3 convolution of each channel by itself and a 1x1 convolution across them.

    Each is without bias and followed by batch normalization and ReLU6, in the order of MobileNet (Howard et al., 2017,
    arXiv 1704.04861). ``11 i + i o + 2 o`` parameters for i input and o output channels.

    Args:
        in_channels: input channels.
        out_channels: output channels.

    Returns:
        (B, in_channels, H, W) to (B, out_channels, H, W), values in [0, 6].
    """
    block = nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU6(inplace=True),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )
    for module in block:
        if isinstance(module, nn.Conv2d):
            # PyTorch's own start shrinks the signal at every convolution, until batch normalization has seen data
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return block
