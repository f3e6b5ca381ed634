"""The twenty models of the multi-encoder paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bus_monai.errors import UserError
from bus_monai.networks.multi_encoder_unet import ENCODERS, MultiEncoderUNet
from bus_monai.networks.padded import Padded


class Preset(NamedTuple):
    """One row of the table: ``loss`` is ``bce`` or ``dice``, the rest are options of the network."""

    encoders: tuple[str, ...]
    attention: str
    freeze_encoders: bool
    loss: str


R, D, E = ENCODERS
PRESETS: Mapping[int, Preset] = {
    1: Preset((R, D, E), "cbam", False, "bce"),
    2: Preset((R, D, E), "cbam", False, "dice"),
    3: Preset((R, D, E), "non_local", False, "bce"),
    4: Preset((R, D, E), "non_local", False, "dice"),
    5: Preset((R, D, E), "none", True, "dice"),
    6: Preset((R, D, E), "none", True, "bce"),
    7: Preset((R, D, E), "none", False, "bce"),
    8: Preset((R, D, E), "none", False, "dice"),
    9: Preset((R, D, E), "non_local", True, "dice"),
    10: Preset((R, D, E), "cbam", True, "dice"),
    11: Preset((R, D, E), "non_local", True, "bce"),
    12: Preset((R, D, E), "cbam", True, "bce"),
    13: Preset((D, E), "none", True, "dice"),
    14: Preset((D, E), "none", True, "bce"),
    15: Preset((R, E), "none", True, "bce"),
    16: Preset((R, E), "none", True, "dice"),
    17: Preset((R, D), "none", True, "bce"),
    18: Preset((R, D), "none", True, "dice"),
    19: Preset((D, E), "none", False, "bce"),
    20: Preset((D, E), "none", False, "dice"),
}
"""Tables 1 and 2 of Anari et al., Scientific Reports 2025, doi 10.1038/s41598-024-84504-y, by number of the model."""


def get_preset(model_id: int) -> Preset:
    """Return the row of a model.

    Raises:
        UserError: no number from 1 to 20.
    """
    if model_id not in PRESETS:
        raise UserError(f"model_id is {model_id!r}: give the number of a model of the paper, from 1 to {len(PRESETS)}.")
    return PRESETS[model_id]


def multi_encoder(
    *,
    encoders: Sequence[str] = tuple(ENCODERS),
    attention: str = "cbam",
    freeze_encoders: bool = False,
    skip: str = "none",
    model_id: int | None = None,
) -> Padded:
    """Make a :class:`~bus_monai.networks.multi_encoder_unet.MultiEncoderUNet` for images of any size.

    Args:
        encoders: as there.
        attention: as there.
        freeze_encoders: as there.
        skip: as there.
        model_id: 1 to 20, a model of the paper; takes the place of ``encoders``, ``attention``, ``freeze_encoders``.

    Returns:
        (B, 1, H, W) with values in [0, 1] to logits (B, 1, H, W), any H and W.

    Raises:
        UserError: as there, or an unknown ``model_id``.

    Example:
        >>> sum(p.numel() for p in multi_encoder(model_id=17).parameters())
        19117569
    """
    if model_id is not None:
        encoders, attention, freeze_encoders, _ = get_preset(model_id)
    net = MultiEncoderUNet(encoders=encoders, attention=attention, freeze_encoders=freeze_encoders, skip=skip)
    return Padded(net, 32)
