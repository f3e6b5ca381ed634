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

    Shape:
        (B, 1, 64, 64), masks in [0, 1], to logits (B, 4) in the order of :data:`SHAPE_CLASSES`.

    Raises:
        UserError: an input of another size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 9),
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
            nn.Linear(128, len(SHAPE_CLASSES)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        # TorchScript knows no constants of a module
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            _check_size(x)
        logits: Tensor = self.head(self.features(x))
        return logits


def _check_size(x: Tensor) -> None:
    if x.shape[1:] != (1, SHAPE_INPUT_SIZE, SHAPE_INPUT_SIZE):
        raise UserError(
            f"ShapeCNN got an input of shape {tuple(x.shape)}: give (B, 1, {SHAPE_INPUT_SIZE}, {SHAPE_INPUT_SIZE})."
        )
