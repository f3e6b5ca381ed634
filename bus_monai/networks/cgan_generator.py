"""Generator of the conditional GANs for breast ultrasound and mammograms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bus_monai.errors import check_choice, check_number
from bus_monai.networks.blocks.attention import CAW
from bus_monai.networks.blocks.convolution import AtrousBlock
from bus_monai.networks.discriminators import initialize_dcgan
from bus_monai.networks.wrappers import Padded

SKIP_MODES = ("concat", "add", "none")
ATROUS_STAGE = 3
"""The atrous block stands between the third and the fourth convolution; the skip leaves before it."""
DROPOUT_STAGES = 3
"""Transposed convolutions with dropout, counted from the innermost."""


class CGANGenerator(nn.Module):
    """Encoder and decoder of 4x4 convolutions with stride 2, down to one pixel, with skip connections.

    The defaults are the ultrasound system with atrous convolution (AC) and channel attention and weighting (CAW) of
    Singh et al., Expert Systems with Applications 2020, doi 10.1016/j.eswa.2020.113870; 49,989,154 parameters, and
    41,828,353 without AC and CAW. ``depth=8, use_ac=False, caw="none", bottleneck_norm=False`` is the mammogram system
    of Singh et al., Expert Systems with Applications 2020, doi 10.1016/j.eswa.2019.112855; 54,413,313 parameters, and
    13,607,937 with ``base_width=32``. Both follow pix2pix (Isola et al., CVPR 2017, arXiv 1611.07004).

    The papers' output is ``tanh(u)`` on masks in {-1, 1}. This network returns ``2 * u``, whose sigmoid is
    ``(tanh(u) + 1) / 2``, the same output on masks in {0, 1}.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        depth: convolutions on the way down, at least 4: 7 for 128x128 pixels, 8 for 256x256.
        base_width: channels of the first convolution; doubled by each of the next three.
        use_ac: the atrous block (ablation).
        ac_rates: its dilation rates; the paper's figure has 1, 2, 3.
        ac_stride: its stride.
        ac_channels: channels of each of its branches; a quarter of its input's, 64, leaves the next layer as it was.
        caw: ``both``, ``channel_attention``, ``channel_weighting`` or ``none``.
        skip_mode: ``concat``, ``add`` or ``none`` (an autoencoder).
        bottleneck_norm: batch normalization of the innermost convolution.
        dropout: rate in the first three stages of the decoder, the noise of the GAN.

    Shape:
        (B, in_channels, H, W) with values in [0, 1], which the network scales to [-1, 1], to logits
        (B, out_channels, H, W), any H and W; sizes not divisible by ``2 ** depth`` are padded by
        their border. In training mode ``bottleneck_norm`` needs at least two images, or more than ``2 ** depth``
        pixels per side.

    Raises:
        UserError: ``depth`` below 4, unknown ``skip_mode`` or ``caw``.

    Example:
        >>> CGANGenerator(base_width=8, out_channels=3).eval()(torch.rand(1, 1, 128, 128)).shape
        torch.Size([1, 3, 128, 128])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        depth: int = 7,
        base_width: int = 64,
        use_ac: bool = True,
        ac_rates: Sequence[int] = (1, 6, 9),
        ac_stride: int = 2,
        ac_channels: int = 256,
        caw: str = "both",
        skip_mode: str = "concat",
        bottleneck_norm: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_number("depth", depth, at_least=ATROUS_STAGE + 1, whole=True)
        check_choice("skip_mode", skip_mode, SKIP_MODES)
        widths = [base_width * 2 ** min(i, 3) for i in range(depth)]

        encoder: list[nn.Module] = []
        below = in_channels
        for i, width in enumerate(widths):
            atrous: list[nn.Module] = []
            if use_ac and i == ATROUS_STAGE:
                block = AtrousBlock(below, ac_channels, rates=ac_rates, stride=ac_stride)
                atrous, below = [block], block.out_channels
            has_norm = i > 0 and (i < depth - 1 or bottleneck_norm)
            encoder.append(nn.Sequential(*atrous, *_down(below, width, has_norm=has_norm)))
            below = width

        decoder: list[nn.Module] = []
        for i, width in enumerate(reversed(widths[:-1])):
            rate = dropout if i < DROPOUT_STAGES else 0.0
            decoder.append(_up(below, width, dropout=rate))
            below = 2 * width if skip_mode == "concat" else width
        head = nn.ConvTranspose2d(below, out_channels, 4, stride=2, padding=1)

        self.network = Padded(_Hourglass(encoder, CAW(widths[-1], mode=caw), decoder, head, skip_mode), 2**depth)
        self.apply(initialize_dcgan)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        logits: Tensor = 2 * self.network(2 * x - 1)
        return logits


class _Hourglass(nn.Module):
    """Encoder, bottleneck, and a decoder whose every stage but the last meets a stage of the encoder."""

    def __init__(
        self,
        encoder: Sequence[nn.Module],
        bottleneck: nn.Module,
        decoder: Sequence[nn.Module],
        head: nn.Module,
        skip_mode: str,
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.bottleneck = bottleneck
        self.decoder = nn.ModuleList(decoder)
        self.head = head
        self.relu = nn.ReLU()
        self.skip_mode = skip_mode

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        x = self.bottleneck(x)
        for i, stage in enumerate(self.decoder):
            x = stage(x)
            skip = skips[len(skips) - 2 - i]
            if self.skip_mode == "concat":
                x = torch.cat([x, skip], dim=1)
            elif self.skip_mode == "add":
                x = x + skip
            x = self.relu(x)
        logits: Tensor = self.head(x)
        return logits


def _down(in_channels: int, out_channels: int, *, has_norm: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1)
    return [convolution, *([nn.BatchNorm2d(out_channels)] if has_norm else []), nn.LeakyReLU(0.2)]


def _up(in_channels: int, out_channels: int, *, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.Dropout(dropout),
    )
