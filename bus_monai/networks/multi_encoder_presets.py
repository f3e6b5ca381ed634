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
    # a list, since what comes from a command line may have no hash
    if model_id not in list(PRESETS):
        raise UserError(f"model_id is {model_id!r}: give the number of a model of the paper, from 1 to {len(PRESETS)}.")
    return PRESETS[model_id]


def multi_encoder(
    *,
    model_id: int = 1,
    encoders: Sequence[str] | None = None,
    attention: str | None = None,
    freeze_encoders: bool | None = None,
    skip: str = "none",
) -> Padded:
    """Make a :class:`~bus_monai.networks.multi_encoder_unet.MultiEncoderUNet` for images of any size.

    Args:
        model_id: 1 to 20, the model of the paper that gives each of the next three where it is ``None``; an option
            that is given wins over the model.
        encoders: as there.
        attention: as there.
        freeze_encoders: as there.
        skip: as there; the paper's models have none.

    Returns:
        (B, 1, H, W) with values in [0, 1] to logits (B, 1, H, W), any H and W.

    Raises:
        UserError: as there, or an unknown ``model_id``.

    Example:
        >>> sum(p.numel() for p in multi_encoder(model_id=17).parameters())
        19117569
    """
    preset = get_preset(model_id)
    net = MultiEncoderUNet(
        encoders=preset.encoders if encoders is None else encoders,
        attention=preset.attention if attention is None else attention,
        freeze_encoders=preset.freeze_encoders if freeze_encoders is None else freeze_encoders,
        skip=skip,
    )
    return Padded(net, 32)
