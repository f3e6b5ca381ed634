"""RDAU-NET, the generator of RDA-NET-GAN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.errors import check_choice
from bus_monai.networks.blocks.attention import AttentionGate, OpenGate
from bus_monai.networks.blocks.convolution import DilatedModule, ResidualUnit

ENCODER_CHANNELS = (32, 64, 128, 256, 512, 512)
"""Filters of the six encoder units (code of Negi et al. 2020; figure of Zhuang et al. 2019)."""
DILATED_CHANNELS = 256
DILATED_POSITIONS = ("bottleneck", "after_decoder", "both", "none")


class RDAUNet(nn.Module):
    """Residual-dilated-attention-gate U-Net.

    Six pre-activation residual units go down to 1/32 of the size, a dilated module looks around there, and five
    residual units come back up over gated skip connections. Zhuang et al., PLoS ONE 2019, doi
    10.1371/journal.pone.0221535, as in the code of Negi et al. (RDA-UNET-WGAN, AJSE 2020); 24,079,526 parameters.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        use_gate: gate the skip connections; ``False`` passes them unchanged (ablation).
        gate_post_bn: batch normalization after the gate's sigmoid, as in the parent code (24,079,536 parameters).
        use_residual: shortcuts in the residual units (ablation).
        dilated_position: ``bottleneck`` as in both parent papers, ``after_decoder`` (the abstract of the WGAN paper),
            ``both`` or ``none``.
        dilated_mode: ``cascade`` or ``parallel``.
        dilated_rates: dilation rates.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W. In training mode
        batch normalization needs more than one value per channel: at least two images, or more than 32 pixels per side.

    Raises:
        UserError: unknown ``dilated_position`` or ``dilated_mode``.

    Example:
        >>> RDAUNet().eval()(torch.rand(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        use_gate: bool = True,
        gate_post_bn: bool = False,
        use_residual: bool = True,
        dilated_position: str = "bottleneck",
        dilated_mode: str = "cascade",
        dilated_rates: Sequence[int] = (1, 2, 4, 8, 16, 32),
    ) -> None:
        super().__init__()
        check_choice("dilated_position", dilated_position, DILATED_POSITIONS)
        self.use_gate = use_gate

        inputs = (in_channels, *ENCODER_CHANNELS[:-1])
        self.encoder = nn.ModuleList(
            ResidualUnit(before, after, stride=2 if i else 1, pre_activation=i > 0, use_shortcut=use_residual)
            for i, (before, after) in enumerate(zip(inputs, ENCODER_CHANNELS, strict=True))
        )

        below = ENCODER_CHANNELS[-1]
        self.bottleneck: nn.Module = nn.Identity()
        if dilated_position in ("bottleneck", "both"):
            self.bottleneck = DilatedModule(below, DILATED_CHANNELS, rates=dilated_rates, mode=dilated_mode)
            below = DILATED_CHANNELS

        gates: list[nn.Module] = []
        units: list[nn.Module] = []
        for skip in reversed(ENCODER_CHANNELS[:-1]):
            gates.append(AttentionGate(below, skip, skip // 2, post_bn=gate_post_bn) if use_gate else OpenGate())
            units.append(ResidualUnit(below + skip, skip, use_shortcut=use_residual))
            below = skip
        self.gates = nn.ModuleList(gates)
        self.decoder = nn.ModuleList(units)

        self.after_decoder: nn.Module = nn.Identity()
        if dilated_position in ("after_decoder", "both"):
            self.after_decoder = DilatedModule(below, below, rates=dilated_rates, mode=dilated_mode)
        self.head = nn.Conv2d(below, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        skips: list[Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        x = self.bottleneck(x)
        for i, (gate, unit) in enumerate(zip(self.gates, self.decoder)):  # noqa: B905 (TorchScript's zip takes no strict)
            skip = skips[4 - i]
            # to the skip's own size rather than times two, so that odd sizes fit
            x = F.interpolate(x, size=[skip.shape[2], skip.shape[3]], mode="nearest")
            x = unit(torch.cat([x, gate(x, skip)], dim=1))
        logits: Tensor = self.head(self.after_decoder(x))
        return logits
