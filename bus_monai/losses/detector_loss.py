"""The loss of a detector whose output is one tensor."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bus_monai.losses.multibox import MultiBoxLoss
from bus_monai.networks.detectors import split_output


class DetectorLoss(nn.Module):
    """:class:`~bus_monai.losses.multibox.MultiBoxLoss` of what :mod:`bus_monai.networks.detectors` gives.

    Shape:
        Output (B, 6, 8732), and for each image its true boxes (T, 4), left, top, right, bottom as shares of the
        image; to a scalar.
    """

    def __init__(self) -> None:
        super().__init__()
        self.multibox = MultiBoxLoss()

    def forward(self, output: Tensor, truths: Sequence[Tensor]) -> Tensor:
        """Return the loss."""
        loss: Tensor = self.multibox(*split_output(output), truths)
        return loss
