"""Shape of a mass from its mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bus_monai.errors import UserError

SHAPE_INPUT_SIZE = 64
SHAPE_CLASSES = ("irregular", "lobular", "oval", "round")
"""In the order of the logits."""


class ShapeCNN(nn.Module):
    """Classify the outline of a mass as irregular, lobular, oval or round.

    Three convolutions and two linear layers: the classifier of Singh et al., Expert Systems with Applications 139
    (2020) 112855, doi 10.1016/j.eswa.2019.112855. The paper gives its layers in a figure alone; the widths 32, 64 and
    128 are a reconstruction. 1,512,836 parameters.

    Args:
        in_channels: of the mask.
        out_channels: classes, by default :data:`SHAPE_CLASSES` in their order; softmax gives their probabilities.

    Shape:
        (B, in_channels, 64, 64), masks in [0, 1], to logits (B, out_channels).

    Raises:
        UserError: an input of another size.

    Example:
        >>> ShapeCNN()(torch.rand(2, 1, 64, 64)).shape
        torch.Size([2, 4])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = len(SHAPE_CLASSES)) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, 9),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 4),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * 9 * 9, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        # TorchScript knows no constants of a module
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            _check_size(x, self.in_channels)
        logits: Tensor = self.head(self.features(x))
        return logits


def _check_size(x: Tensor, channels: int) -> None:
    wanted = (channels, SHAPE_INPUT_SIZE, SHAPE_INPUT_SIZE)
    if x.shape[1:] != wanted:
        raise UserError(f"ShapeCNN got an input of shape {tuple(x.shape)}: give (B, {', '.join(map(str, wanted))}).")
