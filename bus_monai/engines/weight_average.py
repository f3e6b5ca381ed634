"""The moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bus_monai.errors import UserError


def weight_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of the weights and statistics of ``network``, a copy at first.

    Args:
        network: what is trained.
        decay: share of the average that an update keeps, in [0, 1); 0 for no average.

    Raises:
        UserError: ``decay`` outside its range.
    """
    if not 0 <= decay < 1:
        raise UserError(f"ema_decay is {decay}: give a number from 0, and below 1.")
    # torch gives it no types
    make_update: Callable[[float], Callable[..., None]] = get_ema_multi_avg_fn
    return AveragedModel(network, multi_avg_fn=make_update(decay), use_buffers=True)
