"""Detectors of masses by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from bus_monai.errors import UserError
from bus_monai.networks.ssd import SSD
from bus_monai.networks.ssd300 import SSD300
from bus_monai.networks.ssd_lite import SSDLite
from bus_monai.networks.standardised import Standardised

BUILDERS: Mapping[str, Callable[[], SSD]] = {"ssd300": SSD300, "ssd_lite": SSDLite}
NAMES = tuple(BUILDERS)


class OneTensor(nn.Module):
    """A detector whose two outputs are one, as exports and MONAI's engines want it.

    Args:
        network: (B, 1, 300, 300) to offsets (B, D, 4) and logits (B, D, 2).

    Shape:
        (B, 1, 300, 300) to (B, 6, D): offsets in x, y, width and height, logits of background and mass.
    """

    def __init__(self, network: SSD) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return offsets and logits of ``x``."""
        offsets, logits = self.network(x)
        return torch.cat([offsets, logits], dim=2).transpose(1, 2)


def split_output(output: Tensor) -> tuple[Tensor, Tensor]:
    """Take the output of a detector (B, 6, D) apart: offsets (B, D, 4) and logits (B, D, 2)."""
    offsets, logits = torch.split(output.transpose(1, 2), [4, 2], dim=2)
    return offsets, logits


def make_detector(name: str) -> Standardised:
    """Make a detector that standardises its input itself.

    Args:
        name: one of ``NAMES``.

    Returns:
        A module from (B, 1, 300, 300) in [0, 1] to (B, 6, 8732), see :class:`OneTensor`.

    Raises:
        UserError: unknown name.

    Example:
        >>> make_detector("ssd_lite")(torch.rand(1, 1, 300, 300)).shape
        torch.Size([1, 6, 8732])
    """
    if name not in BUILDERS:
        close = difflib.get_close_matches(str(name), NAMES, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise UserError(f"There is no detector {name!r}{hint}: use one of {', '.join(NAMES)}.")
    return Standardised(OneTensor(BUILDERS[name]()))
