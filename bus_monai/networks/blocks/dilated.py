"""Dilated module of RDAU-NET."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bus_monai.errors import UserError


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
        if mode not in ("cascade", "parallel"):
            raise UserError(f"dilated_mode is {mode!r}: use 'cascade' or 'parallel'.")
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
